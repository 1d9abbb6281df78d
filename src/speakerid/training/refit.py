"""Refit the last layer of a classifier in closed form, by linear discriminant analysis of its inputs.

After a short training the layer is far behind the encoder, since each class was in a few batches only.

Shapes: N crops, B batch, T frames, M mel bands, D width of the layer's input, S classes.
"""

from collections.abc import Callable, Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speakerid.base.distributed import gathered
from speakerid.base.progress import Progress
from speakerid.config import Config
from speakerid.nn.classifier import SpeakerClassifier
from speakerid.training.augmentation import Augmentation, seed_generators
from speakerid.training.training_data import TrainingData, training_batches

LONGER = 2
"""Frames of a crop, as a multiple of those in training: longer crops give more exact means of the classes."""
MOST_CROPS = 50_000
HELD_OUT, MOST_HELD_OUT = 4, 5_000
"""One crop in this many, but not more than that, is held out to choose the scale of the logits."""
SMOOTHING = 0.05
"""Label smoothing for the choice of the scale: crops of memorized utterances would choose an infinite one."""
SMALLEST_SCALE = 1e-3
ABSENT = 30.0
"""How far the bias of a class without a crop is below the lowest of the others."""


def number_of_crops(utterances: int, width: int, classes: int) -> int:
    """Crops to refit by: every training utterance once, and enough for covariance and means."""
    return min(max(utterances, 2 * width, 2 * classes), MOST_CROPS)


def refit_classifier(
    model: nn.Module,
    config: Config,
    data: TrainingData,
    device: torch.device,
    progress: Progress,
    fold: int | None = None,
) -> None:
    """Refit the classifier of a trained model by augmented crops that are longer than those in training.

    Args:
        model: speaker classifier that ends in an `nn.Linear`.
        config, data, device: settings, corpus and device of the run.
        progress: draws a bar.
        fold: index of the fold whose training utterances to use; None for those of the final model.
    """
    settings = config.train
    batches = training_batches(config, data, device, fold, LONGER)
    augment = Augmentation(settings, data.corpus.features)
    assert isinstance(model, SpeakerClassifier)
    *_, last = model.classifier.children()
    assert isinstance(last, nn.Linear)
    wanted = number_of_crops(len(data.split.of_model(fold).train), last.in_features, last.out_features)
    count = -(-wanted // settings.batch_size)

    def crops() -> Iterator[tuple[Tensor, Tensor]]:
        for number in range(count):
            seed_generators(config.seed, settings.total_steps + number, device)
            features, labels = batches[number]
            yield augment(features), labels

    was_training = model.training
    with progress.bar("Refit", "crops", count * settings.batch_size) as bar:

        def show(done: int) -> None:
            bar.update(done)
            if bar.due:
                bar.show()

        fit_last_layer(model.eval(), crops(), show)
    model.train(was_training)


@torch.no_grad()
def fit_last_layer(
    model: SpeakerClassifier,
    batches: Iterable[tuple[Tensor, Tensor]],
    progress: Callable[[int], None] = lambda done: None,
) -> None:
    """Replace the weights of the last layer by those of linear discriminant analysis.

    Args:
        model: model that ends in an `nn.Linear`, in evaluation mode.
        batches: (B, T, M) features and (B,) classes; with several processes, each has its share of a batch.
        progress: called with the number of crops of each batch.
    """
    *before, last = model.classifier.children()
    assert isinstance(last, nn.Linear)
    inputs, labels = [], []
    for features, classes in batches:
        x = nn.Sequential(*before)(model.embed(features.to(last.weight.dtype)))
        for x_of_process, classes_of_process in gathered((x.cpu(), classes.cpu())):
            inputs.append(x_of_process)
            labels.append(classes_of_process)
            progress(len(classes_of_process))
    weight, bias = calibrated_discriminant(torch.cat(inputs), torch.cat(labels), last.out_features)
    last.weight.copy_(weight)
    last.bias.copy_(bias)


def calibrated_discriminant(x: Tensor, labels: Tensor, n_classes: int) -> tuple[Tensor, Tensor]:
    """`discriminant`, scaled by the factor with which the last crops are predicted best from those before them.

    Frames of an utterance are not independent, and so the discriminant alone is far too sure.
    """
    held_out = min(len(x) // HELD_OUT, MOST_HELD_OUT)
    fitted, tested = x.split([len(x) - held_out, held_out])
    fitted_labels, tested_labels = labels.split([len(x) - held_out, held_out])
    known = torch.isin(tested_labels, fitted_labels)
    scale = 1.0
    if known.any():
        weight, bias = discriminant(fitted, fitted_labels, n_classes)
        logits = F.linear(tested[known].double(), weight, bias)
        scale = _best_scale(logits.float(), tested_labels[known])
    weight, bias = discriminant(x, labels, n_classes)
    present = torch.bincount(labels, minlength=n_classes) > 0
    return scale * weight, torch.where(present, scale * bias, (scale * bias[present]).min() - ABSENT)


def discriminant(x: Tensor, labels: Tensor, n_classes: int) -> tuple[Tensor, Tensor]:
    """Linear discriminant analysis (Fisher, 1936) of classes that are equally frequent.

    If every class is normally distributed with the same covariance, the logits x · weightᵀ + bias are the logarithms of
    the densities, but for a term that all classes share.

    Args:
        x: (N, D).
        labels: (N,) classes.
        n_classes: S.

    Returns:
        (S, D) weights and (S,) biases in float64, zeros for classes without an example.
    """
    x = x.double()
    counts = torch.bincount(labels, minlength=n_classes)
    means = x.new_zeros(n_classes, x.shape[1]).index_add_(0, labels, x) / counts.clamp(min=1)[:, None]
    deviations = x - means[labels]
    freedom = max(1, len(x) - int((counts > 0).sum()))
    covariance = shrunk(deviations.T @ deviations / freedom, freedom)
    weight = torch.linalg.solve(covariance, means.T).T
    return weight, -(weight * means).sum(1) / 2


def shrunk(covariance: Tensor, freedom: int) -> Tensor:
    """Replace a share of a (D, D) covariance by its mean variance in every direction.

    The share is that of least expected error for normally distributed examples, by oracle approximating shrinkage (Chen
    et al., 2010, "Shrinkage algorithms for MMSE covariance estimation", equation 23).

    Args:
        covariance: (D, D) estimate.
        freedom: degrees of freedom of the estimate.
    """
    width = len(covariance)
    trace, of_square = covariance.trace(), covariance.square().sum()
    spread = of_square - trace.square() / width
    share = (trace.square() + (1 - 2 / width) * of_square) / ((freedom + 1 - 2 / width) * spread)
    share = share.nan_to_num(1.0).clamp(0, 1)
    variance = (trace / width).clamp(min=torch.finfo(torch.float32).tiny)
    return (1 - share) * covariance + share * variance * torch.eye(width, dtype=covariance.dtype)


def _best_scale(logits: Tensor, labels: Tensor) -> float:
    """Factor on the logits, at most 1, for which their smoothed cross-entropy is lowest."""
    from math import exp, log

    from scipy.optimize import minimize_scalar  # slow to import

    def loss(logarithm: float) -> float:
        return F.cross_entropy(exp(logarithm) * logits, labels, label_smoothing=SMOOTHING).item()

    found = minimize_scalar(loss, bounds=(log(SMALLEST_SCALE), 0), method="bounded", options={"xatol": 0.01})
    return exp(found.x)
