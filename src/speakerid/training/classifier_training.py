"""Train the classifier further on the embeddings of more batches, with the encoder fixed.

After a short training each class has been in few batches, and the classifier lags behind the encoder. Embeddings need
no gradient, so a batch costs a third of a training step, and an epoch over all embeddings takes less than a second
(Kang et al., 2020, "Decoupling representation and classifier for long-tailed recognition", section 4.1).

Shapes: N embeddings, D width.
"""

import copy
import time
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from speakerid.base.distributed import from_rank_0, gathered
from speakerid.config import Config
from speakerid.training.batches import Batches
from speakerid.training.losses import Loss
from speakerid.training.progress import Progress

EPOCHS = 10
"""Passes over the embeddings."""
BATCH_SIZE = 256
LEARNING_RATE = 2e-3
"""Initial learning rate of Adam; it decreases linearly to zero."""


class EmbeddingClassifier(Protocol):
    """Model whose `classifier` takes the output of `embed`."""

    classifier: nn.Module

    def embed(self, features: Tensor, mask: Tensor | None = None) -> Tensor: ...


def train_classifier(model: nn.Module, batches: Batches, config: Config, progress: Progress) -> dict[str, float]:
    """Train only the classifier, on the `train.classifier_steps` batches after the last step of the run.

    Embeddings are computed in evaluation mode, and a BatchNorm of the classifier keeps its running statistics. The
    result depends on the weights, the batches and the seed only.

    Args:
        model: an `EmbeddingClassifier` on its device; changed in place.
        batches: batches of the run; a process has its share of each.
        config: settings of the run.
        progress: shows a bar.

    Returns:
        Accuracy and loss on these crops over the last epoch, and the duration in seconds.
    """
    began = time.perf_counter()
    learner = cast("EmbeddingClassifier", model)
    was_training = model.training
    model.eval()
    embeddings, labels = _embed(learner, batches, config, progress)
    weights, figures = from_rank_0(lambda: _fit(learner.classifier, embeddings, labels, config))
    learner.classifier.load_state_dict(weights)
    model.train(was_training)
    return {**figures, "seconds": round(time.perf_counter() - began, 2)}


@torch.inference_mode()
def _embed(model: EmbeddingClassifier, batches: Batches, config: Config, progress: Progress) -> tuple[Tensor, Tensor]:
    """(N, D) embeddings and (N,) classes of all processes, in the order of the batches."""
    first, count = config.train.total_steps, config.train.classifier_steps
    parameter = next(model.classifier.parameters())
    mine: list[tuple[Tensor, Tensor]] = []
    with progress.bar("Embed", "step", count) as bar:
        for step in range(first, first + count):
            features, labels = batches[step]
            mine.append((model.embed(features.to(parameter.dtype)), labels))
            bar.update()
            if bar.due:
                bar.show()
    of_all = gathered([(embeddings.cpu(), labels.cpu()) for embeddings, labels in mine])
    shares = [part for shares in zip(*of_all, strict=True) for part in shares]
    embeddings, labels = (torch.cat(column) for column in zip(*shares, strict=True))
    return embeddings.to(parameter.device), labels.to(parameter.device)


def _fit(
    classifier: nn.Module, embeddings: Tensor, labels: Tensor, config: Config
) -> tuple[dict[str, Any], dict[str, float]]:
    """Train a copy of the classifier; returns its weights and the figures of the last epoch."""
    classifier = copy.deepcopy(classifier).requires_grad_(True)
    loss = Loss(config.train.loss, config.model.logit_scale)
    margin = embeddings.new_tensor(loss.margin(config.train.total_steps, config.train.total_steps))
    optimizer = torch.optim.Adam(classifier.parameters())
    generator = torch.Generator().manual_seed(config.seed)
    steps, step = EPOCHS * -(-len(labels) // BATCH_SIZE), 0
    sums = embeddings.new_zeros(2)
    for _ in range(EPOCHS):
        sums.zero_()
        for rows in torch.randperm(len(labels), generator=generator).to(labels.device).split(BATCH_SIZE):
            optimizer.param_groups[0]["lr"] = LEARNING_RATE * (1 - step / steps)
            logits = classifier(embeddings[rows])
            summed = loss(logits, labels[rows], margin)
            optimizer.zero_grad()
            (summed / len(rows)).backward()
            optimizer.step()
            sums += torch.stack([(logits.argmax(-1) == labels[rows]).sum(), summed.detach()])
            step += 1
    accuracy, total = (sums / len(labels)).tolist()
    weights = {name: tensor.detach().cpu() for name, tensor in classifier.state_dict().items()}
    return weights, {"accuracy": accuracy, "loss": total}
