"""Output, files and errors of a run."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import yaml
from torch import Tensor

from experiments import small_config, write_easy_corpus
from speakerid.base.errors import CorpusError, UserError
from speakerid.base.progress import Progress
from speakerid.config import Config, load_config, parse
from speakerid.corpus.check import open_corpus
from speakerid.nn.classifier import SpeakerClassifier
from speakerid.training.batches import TrainingBatches
from speakerid.training.checkpoint import Checkpoint
from speakerid.training.predict import predict
from speakerid.training.run import (
    TrainResult,
    build_trainer,
    choose_device,
    train,
)
from speakerid.training.run_directory import RunDirectory
from speakerid.training.training_data import open_training_data, training_batches


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_easy_corpus(tmp_path_factory.mktemp("run") / "corpus")


@pytest.fixture(scope="module")
def config(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Config:
    return small_config(corpus, tmp_path_factory.mktemp("run") / "run", total_steps=40, valid_steps=10)


@pytest.fixture(scope="module")
def result(config: Config, draw_curves: Callable[[RunDirectory], None]) -> TrainResult:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunDirectory, "draw_curves", draw_curves)
        return train(config)


def test_it_learns(result: TrainResult) -> None:
    assert result.best_accuracy == 1.0


def test_metrics_hold_training_and_validation(result: TrainResult) -> None:
    records = [json.loads(line) for line in result.run.metrics.read_text().splitlines()]
    assert [r["step"] for r in records if r["part"] == "valid"] == [10, 20, 30, 40]
    assert [r["step"] for r in records if r["part"] == "train"] == list(range(2, 41, 2))
    first = records[0]
    assert first["learning_rate"] == 0.01  # the second of two warm-up steps
    assert first["loss"] > records[-2]["loss"]


def test_all_files_are_written(result: TrainResult, config: Config) -> None:
    assert result.run.curves.read_bytes().startswith(b"\x89PNG")
    assert list((result.run.path / "tensorboard").glob("events.*"))
    assert load_config(result.run.path / "config.yaml") == config
    assert yaml.safe_load((result.run.path / "config.yaml").read_text())["train"]["total_steps"] == 40


def test_the_best_checkpoint_is_the_best(result: TrainResult, config: Config) -> None:
    """Its weights give the accuracy that it records, computed as in inference."""
    checkpoint = Checkpoint.load(result.run.best)
    data = open_training_data(config)
    labels = torch.tensor(data.corpus.labelled.speakers)[data.split.final.valid]
    predicted = predict([checkpoint.build_model()], data.store, data.split.final.valid, 100).argmax(-1)
    assert (predicted == labels).double().mean().item() == checkpoint.accuracy == result.best_accuracy


def test_the_best_checkpoint_does_not_train_on(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """best.pt stays at the best validation; ties in accuracy are broken by loss."""
    fetch = TrainingBatches.__getitem__

    def mislabelled_in_the_end(self: TrainingBatches, k: int) -> tuple[Tensor, Tensor]:
        features, labels = fetch(self, k)
        return features, (labels + (k >= 30)) % 3

    monkeypatch.setattr(TrainingBatches, "__getitem__", mislabelled_in_the_end)
    result = train(small_config(corpus, tmp_path / "run", total_steps=60, valid_steps=10))
    best = max(result.run.read_log().valid, key=lambda record: (record.accuracy, -(record.loss or 0)))
    checkpoint = Checkpoint.load(result.run.best)
    assert checkpoint.step == best.step == 30
    assert (checkpoint.best_accuracy, checkpoint.best_loss) == (best.accuracy, best.loss)
    assert Checkpoint.load(result.run.last).step == 60


def test_progress_lines_are_those_of_hw4(corpus: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    train(small_config(corpus, tmp_path / "run"))
    out, err = capfd.readouterr()
    assert "The parameter size of encoder block is" in out
    number = r"\d+\.\d+"
    line = rf"Train: 100% 4/4 \[00:\d\d<00:00, +{number} step/s, accuracy={number}, loss={number}, step=12"
    line += r", lr=2\.4e-04, eta=0:00:00\]"
    assert re.search(line, err)
    assert re.search(rf"Valid: 100% 6/6 \[00:\d\d<00:00, +{number} uttr/s, accuracy={number}, loss={number}\]", err)
    assert re.search(r"Step \d+, best model saved\. \(accuracy=\d\.\d{4}\)", out + err)


@pytest.mark.parametrize("poison", [torch.nan, torch.inf])
def test_a_loss_that_is_not_finite_stops_the_run(
    poison: float, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch = TrainingBatches.__getitem__

    def poisoned(self: TrainingBatches, k: int) -> tuple[Tensor, Tensor]:
        features, labels = fetch(self, k)
        return (features * poison if k == 7 else features), labels

    monkeypatch.setattr(TrainingBatches, "__getitem__", poisoned)
    config = small_config(corpus, tmp_path / "run")
    reason = r"step 8: the loss or its gradient is not finite.*last\.pt.*Try a lower train\.learning_rate"
    with pytest.raises(UserError, match=reason):
        train(config)
    saved = Checkpoint.load(config.run_dir / "last.pt")
    assert saved.step == 6
    assert all(torch.isfinite(weight).all() for weight in saved.model.values())


def test_a_damaged_corpus_stops_before_the_first_step(corpus: Path, tmp_path: Path) -> None:
    damaged = write_easy_corpus(tmp_path / "damaged")
    (damaged / "uttr-anna0.pt").write_bytes(b"")
    (damaged / "uttr-ben1.pt").unlink()
    with pytest.raises(CorpusError, match=r"(?s)2 problems.*uttr-anna0\.pt.*uttr-ben1\.pt"):
        train(small_config(damaged, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_an_unavailable_device_is_refused() -> None:
    with pytest.raises(UserError, match="found 'cuda:99', which is not available"):
        choose_device("cuda:99")


def test_only_the_labeled_part_trains(tmp_path: Path) -> None:
    corpus = write_easy_corpus(tmp_path / "corpus")
    (corpus / "testdata.json").unlink()
    (corpus / "answers.csv").unlink()
    assert open_corpus(corpus)[0].test.names == []


def test_crops_of_drawn_lengths_reach_the_batches(corpus: Path, tmp_path: Path) -> None:
    config = small_config(corpus, tmp_path / "run", crop_frames=10, longest_crop_frames=12)
    batches = training_batches(config, open_training_data(config), torch.device("cpu"))
    assert {batches[step][0].shape[1] for step in range(30)} == {10, 11, 12}


def test_the_loss_knows_the_scale_of_the_cosines(corpus: Path, tmp_path: Path) -> None:
    """The sums of the first steps, in which little is learned, compared with the margin written out."""
    scale, margin = 4.0, 0.5
    still = {"learning_rate": 1e-9, "log_steps": 100, "keep_last": 9}
    settings = small_config(corpus, tmp_path / "run", **still).model_dump(mode="json")
    settings["model"]["encoder"]["dropout"] = 0.0
    settings["model"]["classifier"] = {"kind": "cosine", "scale": scale}
    settings["train"]["loss"] = {"kind": "am_softmax", "margin": margin, "margin_warmup": 0.0}
    config = parse(Config, settings, "test")
    silent = Progress("silent")
    data = open_training_data(config, silent)
    trainer = build_trainer(config, data, None, SpeakerClassifier, torch.device("cpu"), silent)
    expected = 0.0
    for step in range(3):
        features, labels = trainer.batches[step]
        logits = trainer.model(features)
        lowered = logits - scale * margin * F.one_hot(labels, logits.shape[1])
        expected += F.cross_entropy(lowered, labels, reduction="sum").item()
    train(config)
    sums = Checkpoint.load(tmp_path / "run" / "checkpoints" / "00000003.pt").progress
    assert sums["loss"] == pytest.approx(expected, rel=1e-4)
