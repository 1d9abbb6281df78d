"""Runs with folds: no utterance is lost to validation, and every fold validates on unseen sessions."""

import itertools
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from experiments import assert_same_run, metrics, small_config, write_easy_corpus
from speakerid.base.errors import UserError
from speakerid.config import Config, parse
from speakerid.corpus.utterances import UNKNOWN, Utterance, Utterances
from speakerid.evaluation.checkpoints import evaluate_checkpoints
from speakerid.training import cross_validation
from speakerid.training.averaging import average_checkpoints
from speakerid.training.batches import TrainingBatches
from speakerid.training.checkpoint import Checkpoint
from speakerid.training.cross_validation import RunSplit
from speakerid.training.run import TrainResult, train
from speakerid.training.training_data import open_training_data


class Crash(Exception):
    """Simulated crash in the middle of a step."""


def folded(corpus: Path, run_dir: Path, folds: int = 2, **train: object) -> Config:
    settings = small_config(corpus, run_dir, **train).model_dump(mode="json")
    settings["data"]["folds"] = folds
    return parse(Config, settings, "test")


def at_fetch(monkeypatch: pytest.MonkeyPatch, number: int, action: Callable[[], object]) -> None:
    """Call a function while the batch of this number is fetched, counted over all models of a run."""
    fetch, count = TrainingBatches.__getitem__, itertools.count()

    def fetch_and_act(self: TrainingBatches, step: int) -> tuple[Tensor, Tensor]:
        if next(count) == number:
            action()
        return fetch(self, step)

    monkeypatch.setattr(TrainingBatches, "__getitem__", fetch_and_act)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_easy_corpus(tmp_path_factory.mktemp("folds") / "corpus")


@pytest.fixture(scope="module")
def whole(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    return train(folded(corpus, tmp_path_factory.mktemp("folds") / "whole"))


def test_the_model_that_ships_is_trained_on_everything_and_those_of_folds_on_the_rest(
    corpus: Path, whole: TrainResult
) -> None:
    record = Checkpoint.load(whole.run.best).utterances
    of_folds = [Checkpoint.load(whole.run.path / "folds" / number / "best.pt").utterances for number in "12"]
    assert record is not None
    assert len(record.train) == 24
    assert not len(record.valid)
    for fold in of_folds:
        assert fold is not None
        assert torch.equal(torch.cat([fold.train, fold.valid]).sort().values, record.train)
    held_out = torch.cat([fold.valid for fold in of_folds if fold])
    assert torch.equal(held_out.sort().values, record.train)


def test_validation_figures_are_those_of_the_folds(whole: TrainResult) -> None:
    def valid(path: Path) -> dict[int, dict[str, float]]:
        return {line["step"]: line for line in metrics(path / "metrics.jsonl") if line["part"] == "valid"}

    of_folds = [valid(whole.run.path / "folds" / number) for number in "12"]
    found = valid(whole.run.path)
    assert found.keys() == {4, 8, 12}
    for step, figures in found.items():
        assert figures["utterances"] == 24
        for name in ("accuracy", "macro_accuracy", "loss"):
            expected = sum(fold[step][name] * fold[step]["utterances"] for fold in of_folds) / 24
            assert figures[name] == pytest.approx(expected)
    assert (
        Checkpoint.load(whole.run.best).step == max(found.values(), key=lambda f: (f["accuracy"], -f["loss"]))["step"]
    )


@pytest.mark.parametrize("number", [0, 5, 12, 17, 24, 30, 35])
def test_a_crash_anywhere_resumes_to_the_same_bits(
    number: int, corpus: Path, whole: TrainResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twelve steps each in the first fold, the second fold and the final model."""

    def crash() -> None:
        raise Crash

    config = folded(corpus, tmp_path / "run")
    with monkeypatch.context() as patch:
        at_fetch(patch, number, crash)
        with pytest.raises(Crash):
            train(config)
    found = train(config, resume=True).run.path
    for part in (".", "folds/1", "folds/2"):
        assert_same_run(found / part, whole.run.path / part)


def test_a_signal_in_a_fold_stops_the_run_and_it_goes_on_there(
    corpus: Path, whole: TrainResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from experiments import interrupt

    config = folded(corpus, tmp_path / "run")
    with monkeypatch.context() as patch:
        at_fetch(patch, 15, interrupt)
        stopped = train(config)
    assert stopped.stopped_by is not None
    assert not (tmp_path / "run/best.pt").exists()
    assert_same_run(train(config, resume="if any").run.path, whole.run.path)


def test_a_finished_run_is_resumed_without_its_folds(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    config = folded(corpus, tmp_path / "run")
    train(config)
    shutil.rmtree(tmp_path / "run/folds")
    assert train(config, resume=True).best_accuracy is not None
    assert not (tmp_path / "run/folds").exists()


def test_progress_says_which_fold(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(folded(corpus, tmp_path / "run", folds=3))
    said = capsys.readouterr().out
    for number in "123":
        assert f"Fold {number} of 3: Step 12" in said or f"Fold {number} of 3: {corpus}" in said
    assert "24 utterances to train, 0 to validate (3 folds; the last utterances of each speaker" in said


def test_large_corpora_hold_a_part_out(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross_validation, "LARGEST", 23)
    config = folded(corpus, tmp_path / "run")
    assert len(open_training_data(config).split.final.valid) == 6
    assert not (train(config).run.path / "folds").exists()


def test_validation_utterances_are_judged_by_the_models_of_the_folds(corpus: Path, whole: TrainResult) -> None:
    (row,) = evaluate_checkpoints([whole.run.best], corpus, "valid", (), torch.device("cpu"))
    rows = [line for line in metrics(whole.run.path / "metrics.jsonl") if line["part"] == "valid"]
    assert row.accuracy == pytest.approx(max(line["accuracy"] for line in rows), abs=0.1)


def test_what_would_be_judged_by_its_training_utterances_is_refused(
    corpus: Path, whole: TrainResult, tmp_path: Path
) -> None:
    reason = r"a run with data\.folds trains on all labeled utterances, so none are left to validate on"
    alone = tmp_path / "best.pt"
    shutil.copy(whole.run.best, alone)  # without its folds
    with pytest.raises(UserError, match=reason):
        evaluate_checkpoints([alone], corpus, "valid", (), torch.device("cpu"))
    with pytest.raises(UserError, match=reason):
        average_checkpoints(whole.run.path, whole.run.path / "mean.pt")
    assert evaluate_checkpoints([whole.run.best], corpus, "test", (), torch.device("cpu"))


def spoken(*speakers: str, each: int = 6) -> Utterances:
    return Utterances.of(
        Utterance(f"{name}{n}.pt", 20, name, str(n // 2), None) for name in speakers for n in range(each)
    )


def test_three_folds_leave_every_speaker_out_once(tmp_path: Path) -> None:
    config, utterances = folded(tmp_path, tmp_path / "run", folds=3), spoken(*"abcdefg", "company/them/x")
    split = RunSplit.of(config, utterances)
    folds = split.left_out_by
    assert all(len(set(folds[utterances.speakers == speaker].tolist())) == 1 for speaker in range(8))
    assert sorted(set(folds.tolist())) == [UNKNOWN, 0, 1, 2]
    assert set(folds[utterances.company].tolist()) == {UNKNOWN}
    for fold in range(3):
        parts = split.folds[fold]
        out = np.flatnonzero(folds == fold)
        assert not set(out) & {*parts.train, *parts.valid}
        assert sorted({*parts.train, *parts.valid, *out}) == list(range(len(utterances)))
        assert set(np.flatnonzero(utterances.company)) <= set(parts.train)


@pytest.mark.parametrize(("folds", "speakers"), [(2, "abcde"), (3, "abcde")])
def test_too_few_speakers_are_never_left_out(folds: int, speakers: str, tmp_path: Path) -> None:
    config = folded(tmp_path, tmp_path / "run", folds=folds)
    assert set(RunSplit.of(config, spoken(*speakers)).left_out_by.tolist()) == {UNKNOWN}


def test_two_folds_leave_two_of_three_speakers_out(tmp_path: Path) -> None:
    config = folded(tmp_path, tmp_path / "run", folds=2)
    rows = [(speaker, day) for speaker in "abcdef" for day in ("mon", "tue")]
    utterances = Utterances.of(Utterance(f"{n}.pt", 9, *row) for n, row in enumerate(rows))
    assert RunSplit.of(config, utterances).left_out_by.tolist() == [0, 0, 1, 1, UNKNOWN, UNKNOWN] * 2


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from([None, "1", "2", "3"])), min_size=2, max_size=30),
    st.integers(2, 4),
)
def test_whatever_the_corpus_a_fold_has_something_to_train_and_to_validate_on(
    rows: list[tuple[str, str | None]], folds: int
) -> None:
    config = folded(Path("corpus"), Path("run"), folds=folds)
    utterances = Utterances.of(Utterance(f"{n}.pt", 9, *row) for n, row in enumerate(rows))
    for parts in RunSplit.of(config, utterances).folds:
        assert parts.train
        assert parts.valid
        assert not set(parts.train) & set(parts.valid)
        trained = {utterances[row].speaker for row in parts.train}
        assert {utterances[row].speaker for row in parts.valid} <= trained


def test_copies_of_a_speaker_who_is_left_out_are_left_out_too(tmp_path: Path) -> None:
    rows = list(spoken(*"abcdef", each=2))
    copies = [replace(row, feature_path=f"copy-{row.feature_path}", copy_of=row.feature_path) for row in rows]
    utterances = Utterances.of([*rows, *copies])
    config = folded(tmp_path, tmp_path / "run", folds=3)
    for parts in RunSplit.of(config, utterances).folds:
        train = parts.train
        assert {row + 12 for row in train if row < 12} == {row for row in train if row >= 12}


def test_one_fold_is_none(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.folds: found 1, expected 0 \(none\) or at least 2"):
        folded(corpus, tmp_path, folds=1)


def test_a_damaged_log_of_a_fold_is_named(whole: TrainResult, tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1/metrics.jsonl").write_text('{"step": 4, "part": "valid", "accuracy": 1.0, "utter')
    with pytest.raises(UserError, match=r"1/metrics\.jsonl: the validation after step 4 is missing; delete \S+/1 "):
        cross_validation.fold_figures([tmp_path / "1"], 4)
