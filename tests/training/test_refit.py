"""The last layer refit by linear discriminant analysis, against densities, and as a part of training."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multivariate_normal
from torch import Tensor

from experiments import assert_same_run, at_step, interrupt, metrics, small_config, write_easy_corpus
from speakerid.base.errors import UserError
from speakerid.config import Config, parse
from speakerid.training import refit
from speakerid.training.checkpoint import Checkpoint
from speakerid.training.refit import calibrated_discriminant, discriminant, number_of_crops, shrunk
from speakerid.training.run import train

CLASSES, WIDTH = 4, 6


def examples(count: int, seed: int = 0, apart: float = 1.0, alike: int = 1) -> tuple[Tensor, Tensor]:
    """Classes with one covariance; each feature is repeated `alike` times, with a little noise."""
    generator = torch.Generator().manual_seed(99)
    means = apart * torch.randn(CLASSES, WIDTH, generator=generator)
    mixing = torch.randn(WIDTH, WIDTH, generator=generator)
    generator.manual_seed(seed)
    labels = torch.randint(CLASSES, (count,), generator=generator)
    x = means[labels] + torch.randn(count, WIDTH, generator=generator) @ mixing
    return x.repeat(1, alike) + 0.01 * torch.randn(count, alike * WIDTH, generator=generator), labels


def test_logits_are_log_densities() -> None:
    x, labels = examples(500)
    weight, bias = discriminant(x, labels, CLASSES)
    means = [x[labels == label].double().mean(0).numpy() for label in range(CLASSES)]
    deviations = x.double().numpy() - np.stack(means)[labels]
    covariance = shrunk(torch.from_numpy(deviations.T @ deviations) / (500 - CLASSES), 500 - CLASSES).numpy()
    densities = np.stack([multivariate_normal(mean, covariance).logpdf(x.double().numpy()) for mean in means], 1)
    logits = F.linear(x.double(), weight, bias).numpy()
    np.testing.assert_allclose(logits - logits[:, :1], densities - densities[:, :1], atol=1e-8)


@given(st.integers(1, 40), st.integers(1, 30), st.floats(-3, 3), st.integers(0, 99))
def test_any_examples_give_finite_logits(count: int, width: int, size: float, seed: int) -> None:
    """Few examples, constant features and classes that are absent."""
    generator = torch.Generator().manual_seed(seed)
    x = 10**size * torch.randn(count, width, generator=generator)
    x[:, : width // 2] = 0.0
    labels = torch.randint(3, (count,), generator=generator)
    weight, bias = calibrated_discriminant(x, labels, 7)
    assert weight.isfinite().all()
    assert bias.isfinite().all()


@pytest.mark.parametrize("freedom", [5, 50, 5000])
def test_a_shrunk_covariance_is_nearer_to_the_true_one(freedom: int) -> None:
    """By the mean square error over many draws; with few examples by far, with many hardly."""
    generator = torch.Generator().manual_seed(0)
    true = torch.diag(torch.linspace(0.5, 2, 20, dtype=torch.float64))
    errors = []
    for _ in range(100):
        x = torch.randn(freedom, 20, generator=generator, dtype=torch.float64) @ true.sqrt()
        estimate = x.T @ x / freedom
        errors.append([(found - true).square().sum() for found in (estimate, shrunk(estimate, freedom))])
    plain, ours = torch.tensor(errors).mean(0)
    assert ours < (0.2, 0.6, 1.0)[(5, 50, 5000).index(freedom)] * plain


def test_absent_classes_are_never_predicted() -> None:
    x, labels = examples(400)
    weight, bias = calibrated_discriminant(x, labels, CLASSES + 3)
    logits = F.linear(examples(200, seed=1)[0].double(), weight, bias)
    assert (logits[:, CLASSES:].amax(1) < logits[:, :CLASSES].amax(1) - 20).all()


@pytest.mark.parametrize("apart", [0.3, 3.0])
def test_probabilities_of_dependent_features_are_calibrated(apart: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """On new examples the cross-entropy is near that of the best scale; without a scale it is not."""
    # Ignores that the features are alike, and so is too sure.
    monkeypatch.setattr(refit, "shrunk", lambda covariance, _: covariance.diagonal().diag())
    x, labels = examples(2000, apart=apart, alike=20)
    new, truth = examples(2000, seed=1, apart=apart, alike=20)

    def loss(layer: tuple[Tensor, Tensor], scale: float = 1.0) -> float:
        return F.cross_entropy(scale * F.linear(new.double(), *layer), truth).item()

    plain = discriminant(x, labels, CLASSES)
    best = min(loss(plain, scale) for scale in np.geomspace(1e-3, 1, 100))
    assert loss(calibrated_discriminant(x, labels, CLASSES)) < best + 0.05 < loss(plain)


def test_every_utterance_counts_and_few_are_repeated() -> None:
    assert number_of_crops(utterances=645, width=768, classes=22) == 1536
    assert number_of_crops(utterances=24_000, width=768, classes=600) == 24_000
    assert number_of_crops(utterances=10, width=8, classes=300) == 600
    assert number_of_crops(utterances=10**6, width=768, classes=600) == refit.MOST_CROPS


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_easy_corpus(tmp_path_factory.mktemp("refit") / "corpus")


def short(corpus: Path, run: Path, **train_settings: object) -> Config:
    """So few small steps that the last layer has learned nothing."""
    return small_config(corpus, run, learning_rate=1e-5, refit_classifier=True, **train_settings)


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_a_refit_classifier_is_ahead_of_one_that_was_trained_briefly(corpus: Path, tmp_path: Path, ema: float) -> None:
    run = train(short(corpus, tmp_path / "run", ema=ema)).run
    *before, last = (record for record in metrics(run.path / "metrics.jsonl") if record["part"] == "valid")
    assert last["accuracy"] > 0.9 > max(record["accuracy"] for record in before)
    assert Checkpoint.load(run.best).step == last["step"]


def test_an_interrupted_run_with_a_refit_resumes(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train(short(corpus, tmp_path / "whole", ema=0.9)).run.path
    config = short(corpus, tmp_path / "run", ema=0.9)
    with monkeypatch.context() as patch:
        at_step(patch, config.train.total_steps - 1, interrupt)
        assert train(config).stopped_by is not None
    assert_same_run(train(config, resume=True).run.path, whole)


def test_bounded_logits_cannot_be_refit() -> None:
    content = {"run_dir": "run", "model": {"encoder": {"kind": "transformer"}, "classifier": "cosine"}}
    with pytest.raises(
        UserError, match=r"refit_classifier=true needs model.classifier=linear, mlp or batchnorm, found"
    ):
        parse(Config, {**content, "train": {"refit_classifier": True}}, "test")
