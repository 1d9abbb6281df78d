"""Training of the classifier alone after the last step."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from experiments import assert_same_run, at_step, interrupt, small_config, write_easy_corpus
from speakerid.base.errors import UserError
from speakerid.config import Config, parse
from speakerid.nn.classifier import SpeakerClassifier
from speakerid.training.checkpoint import Checkpoint
from speakerid.training.progress import Progress
from speakerid.training.run import choose_device, open_training_data, train, training_batches

STEPS, MORE = 12, 5
"""Steps of the run, and of the classifier alone."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_easy_corpus(tmp_path_factory.mktemp("classifier") / "corpus")


def config_of(
    corpus: Path, run: Path, classifier: Any = "batchnorm", loss: Any = "cross_entropy", **more: object
) -> Config:
    settings = small_config(corpus, run, **{"learning_rate": 0.001, **more}).model_dump(mode="json")
    settings["model"]["classifier"] = classifier
    settings["train"]["loss"] = loss
    return parse(Config, settings, "test")


def later_crops(config: Config) -> tuple[Tensor, Tensor]:
    """The batches after the last one of a run, written out."""
    corpus, store, parts = open_training_data(config, Progress("silent"))
    batches = training_batches(config, store, parts.train, corpus.labelled, choose_device("cpu"))
    features, labels = zip(*(batches[step] for step in range(STEPS, STEPS + MORE)), strict=True)
    return torch.cat(features), torch.cat(labels)


@pytest.mark.parametrize(
    ("classifier", "loss"),
    [
        ("linear", "cross_entropy"),
        ("mlp", {"kind": "cross_entropy", "label_smoothing": 0.1}),
        ("batchnorm", "cross_entropy"),
        ({"kind": "cosine", "sub_centers": 2, "batch_norm": True}, {"kind": "aam_softmax", "margin": 0.1}),
    ],
)
@pytest.mark.parametrize("ema", [0.0, 0.8])
def test_the_classifier_fits_later_crops_better_and_nothing_else_changes(
    classifier: Any, loss: Any, ema: float, corpus: Path, tmp_path: Path
) -> None:
    configs = [
        config_of(corpus, tmp_path / str(more), classifier, loss=loss, ema=ema, classifier_steps=more)
        for more in (0, MORE)
    ]
    without, with_it = (Checkpoint.load(train(config).run.last) for config in configs)
    changed = {
        name
        for name, tensor in with_it.inference_weights.items()
        if not torch.equal(tensor, without.inference_weights[name])
    }
    assert changed
    assert all(name.startswith("classifier.") and "running" not in name for name in changed)
    if ema:
        assert all(torch.equal(tensor, without.model[name]) for name, tensor in with_it.model.items())
    features, labels = later_crops(configs[1])
    before, after = (
        F.cross_entropy(checkpoint.build_model().eval()(features), labels) for checkpoint in (without, with_it)
    )
    assert after < before


def test_its_progress_is_shown(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(config_of(corpus, tmp_path / "run", classifier_steps=MORE))
    assert re.findall(r"^Embed: 100% 5/5 \[.* step/s\]$", capsys.readouterr().err, re.MULTILINE)


def test_it_is_logged_once_and_affects_only_the_last_validation(corpus: Path, tmp_path: Path) -> None:
    runs = [train(config_of(corpus, tmp_path / str(more), classifier_steps=more)).run for more in (0, MORE)]
    without, with_it = ([r for r in run.records() if r["part"] != "train"] for run in runs)
    (said,) = [record for record in with_it if record["part"] == "classifier"]
    assert said["step"] == STEPS
    assert said.keys() == {"step", "part", "accuracy", "loss", "seconds"}
    *same, last = [record for record in with_it if record["part"] == "valid"]
    assert same == without[:-1]
    assert last["loss"] != without[-1]["loss"]


@pytest.mark.parametrize("ema", [0.0, 0.8])
def test_a_crash_within_it_repeats_it_and_ctrl_c_waits_for_its_end(
    ema: float, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash() -> None:
        raise torch.OutOfMemoryError

    def config(name: str) -> Config:
        return config_of(corpus, tmp_path / name, ema=ema, classifier_steps=MORE)

    whole = train(config("whole")).run.path
    with monkeypatch.context() as patch:
        at_step(patch, STEPS + 2, crash)
        with pytest.raises(UserError, match=r"^memory ran out .* train\.classifier_steps=5; .*classifier_steps=2$"):
            train(config("crashed"))
    assert_same_run(train(config("crashed"), resume=True).run.path, whole)
    with monkeypatch.context() as patch:
        at_step(
            patch, STEPS + 2, lambda: patch.setattr("speakerid.training.validation.predict_batches", lambda *_: crash())
        )
        with pytest.raises(UserError, match="memory ran out in the validation"):
            train(config("validating"))
    assert_same_run(train(config("validating"), resume=True).run.path, whole)
    with monkeypatch.context() as patch:
        at_step(patch, STEPS + 2, interrupt)
        train(config("stopped"))
    assert_same_run(train(config("stopped"), resume=True).run.path, whole)


def test_its_steps_may_change_until_it_starts(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train(config_of(corpus, tmp_path / "whole", classifier_steps=MORE)).run.path
    with monkeypatch.context() as patch:
        at_step(patch, STEPS - 1, interrupt)
        train(config_of(corpus, tmp_path / "run"))
    later = config_of(corpus, tmp_path / "run", classifier_steps=MORE)
    assert_same_run(train(later, resume=True).run.path, whole)
    with pytest.raises(UserError, match=r"cannot be resumed .* train\.classifier_steps is 6, was 5"):
        train(config_of(corpus, tmp_path / "run", classifier_steps=MORE + 1), resume=True)


def test_a_run_that_has_ended_is_left_as_it_is(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of(corpus, tmp_path / "run", classifier_steps=MORE)
    ended = train(config).run
    weights = Checkpoint.load(ended.last).model
    monkeypatch.setattr(SpeakerClassifier, "embed", lambda *_: pytest.fail("once more"))
    again = Checkpoint.load(train(config, resume=True).run.last).model
    assert all(torch.equal(tensor, weights[name]) for name, tensor in again.items())
