"""A run that diverges or collapses fails with the reason or goes back to a checkpoint; a healthy one does neither."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from experiments import assert_same_run, at_step, interrupt, metrics, small_config, write_easy_corpus
from speakerid.base.errors import UserError
from speakerid.config import Config
from speakerid.nn.classifier import SpeakerClassifier
from speakerid.training.batches import TrainingBatches
from speakerid.training.checkpoint import Checkpoint
from speakerid.training.divergence import WINDOW, Collapsed, Health
from speakerid.training.run import train
from speakerid.training.run_directory import RunDirectory
from speakerid.training.step import TrainingStep
from speakerid.training.trainer import Trainer

RATE = 0.01


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_easy_corpus(tmp_path_factory.mktemp("divergence") / "corpus")


def poison(monkeypatch: pytest.MonkeyPatch, step: int, above: float = 0.0) -> None:
    """Make the loss of a step NaN if its learning rate is above a limit."""
    learn = TrainingStep.__call__

    def poisoned(self: TrainingStep, features: Tensor, labels: Tensor, k: int, learning_rate: float) -> None:
        learn(self, features * torch.nan if k == step and learning_rate > above else features, labels, k, learning_rate)

    monkeypatch.setattr(TrainingStep, "__call__", poisoned)


def forget(monkeypatch: pytest.MonkeyPatch, step: int, times: int = 1) -> None:
    """Make the model collapse at a step, a number of times: it gives the same answer to all inputs."""
    learn = TrainingStep.__call__
    left = iter(range(times))

    def forgetful(self: TrainingStep, features: Tensor, labels: Tensor, k: int, learning_rate: float) -> None:
        if k == step and next(left, None) is not None:
            with torch.no_grad():
                for parameter in self.model.parameters():
                    parameter.zero_()
        learn(self, features, labels, k, learning_rate)

    monkeypatch.setattr(TrainingStep, "__call__", forgetful)


def rates(records: list[dict[str, Any]]) -> dict[int, float]:
    return {record["step"]: record["learning_rate"] for record in records if record["part"] == "train"}


@pytest.mark.parametrize("step", [0, 5, 8, 11])
def test_without_rollbacks_the_step_is_named(
    step: int, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, step)
    with pytest.raises(UserError, match=rf"^step {step + 1}: the loss or its gradient is not finite; the last .*$"):
        train(small_config(corpus, tmp_path / "run"))


class Edge(SpeakerClassifier):
    """Every loss is finite, but not the gradient, that of a square root at zero."""

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        logits = super().forward(features, mask)
        return logits + (logits - logits).sqrt()


def test_a_gradient_that_is_not_finite_is_noticed_too(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^step 1: the loss or its gradient is not finite"):
        train(small_config(corpus, tmp_path / "run"), make_model=Edge)


@pytest.fixture(scope="module")
def plain(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(small_config(corpus, tmp_path_factory.mktemp("divergence") / "plain")).run.path


def poisoned_config(corpus: Path, run_dir: Path) -> Config:
    return small_config(corpus, run_dir, rollbacks=2, learning_rate=RATE)


def test_it_goes_back_and_continues_with_half_the_rate(
    corpus: Path, plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    poison(monkeypatch, 7, above=0.6 * rates(metrics(plain / "metrics.jsonl"))[8])
    run = train(poisoned_config(corpus, tmp_path / "run")).run
    records = metrics(run.metrics)
    (rollback,) = [record for record in records if record["part"] == "rollback"]
    assert (rollback["step"], rollback["from_step"], rollback["learning_rate_factor"]) == (6, 8, 0.5)
    assert rollback["reason"] == "step 8: the loss or its gradient is not finite"
    found, expected = rates(records), rates(metrics(plain / "metrics.jsonl"))
    assert found == {step: rate / (1 if step <= 6 else 2) for step, rate in expected.items()}
    assert [record["step"] for record in records if record["part"] == "valid"] == [4, 8, 12]
    assert "going back to step 6 with 0.5 times the learning rate" in capsys.readouterr().out


def test_it_fails_after_the_allowed_rollbacks(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poison(monkeypatch, 7)
    config = poisoned_config(corpus, tmp_path / "run")
    with pytest.raises(UserError, match=r"^step 8: the loss"):
        train(config)
    records = metrics(config.run_dir / "metrics.jsonl")
    factors = [record["learning_rate_factor"] for record in records if record["part"] == "rollback"]
    assert factors == [0.5, 0.25]


@pytest.fixture(scope="module")
def gone_back(corpus: Path, plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        poison(patch, 7, above=0.6 * rates(metrics(plain / "metrics.jsonl"))[8])
        return train(poisoned_config(corpus, tmp_path_factory.mktemp("divergence") / "gone_back")).run.path


@pytest.mark.parametrize(("step", "time"), [(6, 2), (7, 2), (9, 1)])
def test_an_interruption_after_a_rollback_changes_nothing(
    step: int, time: int, corpus: Path, plain: Path, gone_back: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, 7, above=0.6 * rates(metrics(plain / "metrics.jsonl"))[8])
    config = poisoned_config(corpus, tmp_path / "run")
    times = iter(range(1, 9))
    with monkeypatch.context() as patch:
        at_step(patch, step, lambda: interrupt() if next(times) == time else None)
        assert train(config).stopped_by
    assert (Checkpoint.load(config.run_dir / "last.pt").step, next(times)) == (step + 1, time + 1)
    train(config, resume=True)
    assert_same_run(config.run_dir, gone_back)


class Crash(Exception):
    """Simulated crash."""


@pytest.mark.parametrize("name", ["begin", "log", "save"])
def test_a_crash_during_a_rollback_repeats_it_once(
    name: str, corpus: Path, plain: Path, gone_back: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right after the folder was reset, after the line of the log, after the checkpoint."""
    poison(monkeypatch, 7, above=0.6 * rates(metrics(plain / "metrics.jsonl"))[8])
    config = poisoned_config(corpus, tmp_path / "run")
    going_back: list[bool] = []
    restore, call = Trainer.restore, getattr(RunDirectory, name)

    def crash(self: RunDirectory, *arguments: Any, **named: Any) -> Any:
        result = call(self, *arguments, **named)
        if going_back:
            raise Crash
        return result

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "restore", lambda *arguments: (going_back.append(True), restore(*arguments)))
        patch.setattr(RunDirectory, name, crash)
        with pytest.raises(Crash):
            train(config)
    train(config, resume=True)
    assert_same_run(config.run_dir, gone_back)


LONG: dict[str, Any] = {
    "total_steps": 60, "valid_steps": 20, "save_steps": 5, "log_steps": 5, "batch_size": 200, "learning_rate": RATE,
}  # fmt: skip


def test_a_collapse_goes_back_to_the_best_checkpoint(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every loss is finite, and the newest checkpoints already hold the collapsed model."""
    forget(monkeypatch, 43)
    run = train(small_config(corpus, tmp_path / "run", rollbacks=1, **LONG)).run
    records = metrics(run.metrics)
    (rollback,) = [record for record in records if record["part"] == "rollback"]
    assert rollback["step"] == 40
    assert 43 < rollback["from_step"] <= 55
    assert "that of guessing (ln 3 = 1.10)" in rollback["reason"]
    assert [record["step"] for record in records if record["part"] == "valid"] == [20, 40, 60]
    assert records[-1]["accuracy"] == 1.0


def test_a_collapse_before_the_first_validation_goes_back_to_the_oldest_checkpoint(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget(monkeypatch, 43)
    config = small_config(corpus, tmp_path / "run", rollbacks=1, **LONG | {"valid_steps": 60, "keep_last": 9})
    records = metrics(train(config).run.metrics)
    (rollback,) = [record for record in records if record["part"] == "rollback"]
    assert rollback["step"] < 43
    assert records[-1]["accuracy"] == 1.0


def test_a_collapse_without_rollbacks_is_named(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forget(monkeypatch, 43)
    with pytest.raises(UserError, match=r"^step \d+: the training loss is 1\.\d+, that of guessing .*collapsed; .*$"):
        train(small_config(corpus, tmp_path / "run", **LONG))


def test_a_run_that_never_learns_is_left_alone(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run on random labels never learned anything, so it has not collapsed."""
    fetch = TrainingBatches.__getitem__

    def shuffled(self: TrainingBatches, k: int) -> tuple[Tensor, Tensor]:
        features, labels = fetch(self, k)
        return features, labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(k))]

    monkeypatch.setattr(TrainingBatches, "__getitem__", shuffled)
    config = small_config(corpus, tmp_path / "run", **LONG)
    assert train(config).stopped_by is None
    assert not [record for record in metrics(config.run_dir / "metrics.jsonl") if record["part"] == "rollback"]


def losses(health: Health, *means: float) -> None:
    for step, mean in enumerate(means):
        health.check({"cross_entropy": mean * WINDOW, "count": WINDOW, "correct": 0.0}, step)


def test_a_model_that_learned_and_then_guesses_has_collapsed() -> None:
    with pytest.raises(Collapsed, match=r"^step 3: the training loss is 4\.60, that of guessing \(ln 100 = 4\.61\)"):
        losses(Health(100), 5.0, 4.6, 2.0, 4.6)


@pytest.mark.parametrize("means", [(4.6, 4.6, 4.7), (9.0, 4.6, 30.0), (4.0, 4.4, 4.6), (3.0, 4.4, 2.0)], ids=str)
def test_normal_losses_are_not_a_collapse(means: tuple[float, ...]) -> None:
    losses(Health(100), *means)


def test_a_single_speaker_never_collapses() -> None:
    losses(Health(1), 0.0, 0.0, 0.0)


def test_a_few_bad_batches_are_not_a_collapse() -> None:
    health = Health(100)
    losses(health, 2.0)
    for step in range(4):
        health.check({"cross_entropy": 32 * 5.0, "count": 32, "correct": 0.0}, step)
    health.check({"cross_entropy": 2.0 * WINDOW, "count": WINDOW, "correct": 0.0}, 5)
