"""An interrupted and resumed run equals the uninterrupted run bit for bit, on a CPU."""

import signal
from pathlib import Path

import pytest

from experiments import assert_same_run, at_step, interrupt, metrics, small_config, write_easy_corpus
from speakerid.base.errors import UserError
from speakerid.config import Config, parse
from speakerid.training.checkpoint import Checkpoint
from speakerid.training.run import TrainResult, train


class Crash(Exception):
    """Simulated crash in the middle of a step."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_easy_corpus(tmp_path_factory.mktemp("resume") / "corpus")


@pytest.fixture(scope="module")
def whole(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    return train(small_config(corpus, tmp_path_factory.mktemp("resume") / "whole"))


def crash() -> None:
    raise Crash


def crash_at_step(monkeypatch: pytest.MonkeyPatch, step: int, config: Config) -> None:
    with monkeypatch.context() as patch:
        at_step(patch, step, crash)
        with pytest.raises(Crash):
            train(config)


@pytest.mark.parametrize("step", [0, 1, 3, 4, 7, 11])
def test_ctrl_c_finishes_the_step_and_saves(
    step: int, corpus: Path, whole: TrainResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config(corpus, tmp_path / "run")
    with monkeypatch.context() as patch:
        at_step(patch, step, interrupt)
        stopped = train(config)
    assert stopped.stopped_by == signal.SIGINT
    assert Checkpoint.load(stopped.run.last).step == step + 1
    assert_same_run(train(config, resume=True).run.path, whole.run.path)


@pytest.mark.parametrize("step", [4, 8, 10])
def test_a_crash_goes_back_to_the_last_checkpoint(
    step: int, corpus: Path, whole: TrainResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config(corpus, tmp_path / "run")
    crash_at_step(monkeypatch, step, config)
    assert_same_run(train(config, resume=True).run.path, whole.run.path)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("kind", ["transformer", "conformer"])
def test_everything_that_is_drawn_or_averaged_resumes(
    kind: str, optimizer: str, precision: str, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def config(name: str) -> Config:
        masks = {"time_masks": 1, "time_width": 5, "band_masks": 1, "band_width": 3}
        loss = {"kind": "aam_softmax", "label_smoothing": 0.1}
        channels = dict.fromkeys(("reverberation", "babble", "noise", "equalization", "band_limit"), 0.5)
        more = {"spec_augment": masks, "mixup": 0.5, "ema": 0.9, "longest_crop_frames": 30}
        more |= {"channel_augment": channels, "optimizer": optimizer, "precision": precision}
        settings = small_config(corpus, tmp_path / name, **more).model_dump(mode="json")
        settings["model"]["encoder"] = {"kind": kind, "num_layers": 1, "dim_feedforward": 16, "dropout": 0.2}
        settings["model"]["classifier"] = {"kind": "cosine", "sub_centers": 2}
        settings["train"]["loss"] = loss
        return parse(Config, settings, "test")

    whole = train(config("whole"))
    crash_at_step(monkeypatch, 8, config("run"))
    assert_same_run(train(config("run"), resume=True).run.path, whole.run.path)


def test_two_interruptions(corpus: Path, whole: TrainResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = small_config(corpus, tmp_path / "run")
    for step in (2, 9):
        with monkeypatch.context() as patch:
            at_step(patch, step, interrupt)
            train(config, resume=step > 2)
    assert_same_run(train(config, resume=True).run.path, whole.run.path)


def test_a_finished_run_resumes_to_itself(corpus: Path, whole: TrainResult, tmp_path: Path) -> None:
    config = small_config(corpus, tmp_path / "run")
    train(config)
    assert_same_run(train(config, resume=True).run.path, whole.run.path)


def test_a_metrics_line_torn_by_a_crash_is_written_again(
    corpus: Path, whole: TrainResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config(corpus, tmp_path / "run")
    crash_at_step(monkeypatch, 7, config)
    with (config.run_dir / "metrics.jsonl").open("a") as file:
        file.write('{"step": 8, "pa')
    assert_same_run(train(config, resume=True).run.path, whole.run.path)


def test_another_seed_is_another_run(corpus: Path, whole: TrainResult, tmp_path: Path) -> None:
    config = small_config(corpus, tmp_path / "run").model_copy(update={"seed": 1})
    other = train(config)
    assert metrics(other.run.metrics) != metrics(whole.run.metrics)


def test_a_run_is_not_overwritten(corpus: Path, whole: TrainResult) -> None:
    before = whole.run.last.read_bytes()
    with pytest.raises(UserError, match=r"already holds a run.*--resume"):
        train(small_config(corpus, whole.run.path))
    assert whole.run.last.read_bytes() == before


def test_nothing_to_resume(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"last\.pt: no such checkpoint"):
        train(small_config(corpus, tmp_path / "run"), resume=True)


def test_other_settings_do_not_resume(corpus: Path, whole: TrainResult) -> None:
    config = small_config(corpus, whole.run.path, learning_rate=0.5)
    with pytest.raises(UserError, match=r"train\.learning_rate is 0\.5, was 0\.01"):
        train(config, resume=True)


def test_other_speakers_do_not_resume(whole: TrainResult, tmp_path: Path) -> None:
    other = write_easy_corpus(tmp_path / "other", speakers=("anna", "ben", "dora"))
    with pytest.raises(UserError, match="speakers of the corpus are not the run's"):
        train(small_config(other, whole.run.path), resume=True)
