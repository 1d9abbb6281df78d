"""Runs with company: they train on it, resume bit by bit, and never predict it."""

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from experiments import assert_same_run, at_step, metrics, small_config, write_easy_corpus
from speakerid.base.errors import UserError
from speakerid.corpus import hw4
from speakerid.corpus.check import open_corpus
from speakerid.corpus.store import FrameStore
from speakerid.corpus.utterances import Utterances
from speakerid.evaluation.checkpoints import evaluate_checkpoints
from speakerid.evaluation.submission import infer
from speakerid.recognition.embedder import Embedder
from speakerid.recognition.make_bundle import make_bundle
from speakerid.training.batches import TrainingBatches
from speakerid.training.run import TrainResult, train
from speakerid.training.training_data import open_training_data, training_batches

OWN = ("anna", "ben", "cleo")
COMPANY = tuple(f"company/friends/p{number}" for number in range(4))
STRANGER = "company/friends/s"


def write_corpus(root: Path) -> Path:
    """Three speakers, four people of company, and a fifth who is a stranger."""
    people = {name.rpartition("/")[2]: name for name in (*OWN, *COMPANY, STRANGER)}
    write_easy_corpus(root, tuple(people), tests=3)
    corpus, problems = hw4.read(root)
    assert not problems
    rows = [replace(utterance, speaker=people[str(utterance.speaker)]) for utterance in corpus.labelled]
    labelled = Utterances.of((u for u in rows if u.speaker != STRANGER), (*OWN, *COMPANY))
    strangers = Utterances.of(u for u in rows if u.speaker == STRANGER)
    hw4.write(root, replace(corpus, speakers=OWN, labelled=labelled, strangers=strangers))
    return root


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("company") / "corpus")


@pytest.fixture(scope="module")
def result(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    return train(small_config(corpus, tmp_path_factory.mktemp("company") / "run"))


def test_half_of_every_batch_is_company(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = small_config(corpus, tmp_path / "run")
    opened = open_training_data(config)
    assert "3 speakers, 18 utterances to train, 6 to validate" in capsys.readouterr().out

    def batches(share: float) -> list[torch.Tensor]:
        data = config.data.model_copy(update={"company_share": share})
        mine = config.model_copy(update={"data": data})
        found = training_batches(mine, opened, torch.device("cpu"))
        return [found[step][1] for step in range(12)]

    assert [(labels >= 3).sum().item() for labels in batches(0.5)] == [3] * 12
    assert [(labels >= 3).sum().item() for labels in batches(0.0)] == [0] * 12
    own = [row for row in opened.split.final.train if not opened.corpus.labelled.company[row]]
    plain = TrainingBatches(opened.store, own, opened.corpus.labelled.speakers, 6, 16, config.seed)
    assert all(torch.equal(labels, plain[step][1]) for step, labels in enumerate(batches(0.0)))


def test_only_speakers_are_validated(result: TrainResult) -> None:
    assert {line["utterances"] for line in metrics(result.run.metrics) if line["part"] == "valid"} == {6}


@pytest.mark.parametrize("step", [4, 7])
def test_a_crash_goes_back_to_the_last_checkpoint(
    step: int, corpus: Path, result: TrainResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash() -> None:
        raise RuntimeError("the machine goes away")

    config = small_config(corpus, tmp_path / "run")
    with monkeypatch.context() as patch:
        at_step(patch, step, crash)
        with pytest.raises(RuntimeError, match="goes away"):
            train(config)
    assert_same_run(train(config, resume=True).run.path, result.run.path)


def test_a_run_is_not_resumed_without_its_company(result: TrainResult, corpus: Path, tmp_path: Path) -> None:
    plain = write_easy_corpus(tmp_path / "corpus", OWN)
    with pytest.raises(UserError):
        train(small_config(plain, result.run.path), resume=True)


def test_no_answer_is_company(result: TrainResult, corpus: Path, tmp_path: Path) -> None:
    answers = tmp_path / "answers.csv"
    infer([result.run.best], corpus, answers, torch.device("cpu"))
    with answers.open(encoding="utf-8") as file:
        assert {row["Category"] for row in csv.DictReader(file)} <= set(OWN)


def test_the_baseline_ignores_company(result: TrainResult, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[set[int]] = []

    def fake(train: object, indices: object, labels: list[int], store: object, tested: list[int], *more: object,
             **named: object) -> torch.Tensor:  # fmt: skip
        seen.append(set(labels))
        return torch.zeros(len(tested), dtype=torch.int64)

    monkeypatch.setattr("speakerid.evaluation.durations.linear_baseline", fake)
    evaluate_checkpoints([result.run.best], None, "valid", [0.1], torch.device("cpu"))
    assert seen
    assert all(labels == {0, 1, 2} for labels in seen)


def test_the_scatter_of_voice_prints_is_learned_from_company_too(
    result: TrainResult, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = list[int]()
    fit = Embedder.fit

    def watched(self: Embedder, store: FrameStore, indices: Sequence[int], labels: Sequence[int], *more: Any) -> Any:
        seen.extend(labels)
        return fit(self, store, indices, labels, *more)

    monkeypatch.setattr(Embedder, "fit", watched)
    bundle = make_bundle(result.run.best)
    assert set(seen) == set(range(len(bundle.profiles.names) + len(COMPANY)))


def test_a_bundle_records_company_but_never_names_it(result: TrainResult, corpus: Path) -> None:
    bundle = make_bundle(result.run.best)
    assert bundle.profiles.names == OWN
    minutes = open_corpus(corpus)[0].company
    assert minutes
    expected = {"folders": ["friends"], "people": 4, "utterances": 32, "minutes": minutes.minutes, "strangers": 1}
    assert bundle.card["company"] == expected
    assert "8 of 1 strangers" in bundle.card["fitted_on"]
    assert not any(name in str(bundle.card) for name in COMPANY)
    with pytest.raises(UserError, match="names of company begin with company/"):
        bundle.enrolled("company/friends/p0", np.ones((1, bundle.profiles.centers.shape[-1]), np.float32))
