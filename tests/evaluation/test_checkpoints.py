from pathlib import Path

import pytest
import torch

from experiments import answer, small_config, write_easy_corpus, write_hard_corpus
from speakerid.base.errors import UserError
from speakerid.corpus.check import open_corpus
from speakerid.evaluation.checkpoints import evaluate_checkpoints
from speakerid.training.batches import Crops
from speakerid.training.checkpoint import Checkpoint
from speakerid.training.predict import predict
from speakerid.training.run import train

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def best(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluation")
    config = small_config(write_easy_corpus(folder / "corpus"), folder / "run", total_steps=40, valid_steps=10)
    return train(config).run.best


@pytest.mark.parametrize("part", ["valid", "test"])
def test_a_row_for_every_duration(part: str, best: Path) -> None:
    rows = evaluate_checkpoints([best], None, part, [0.1, 0.25], CPU)  # type: ignore[arg-type]
    assert [row.duration for row in rows] == ["0.1 s", "0.25 s", "whole"]
    assert rows[-1].accuracy == rows[-1].macro_accuracy == 1.0
    assert all(row.baseline > 0.5 for row in rows)


def test_crops_serve_durations_that_are_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_hard_corpus(tmp_path / "corpus")
    path = train(small_config(root, tmp_path / "run", total_steps=4)).run.last
    plain, cropped = (
        evaluate_checkpoints([path], None, "test", [0.03, 0.2], CPU, crops=crops) for crops in (None, Crops(1, 3))
    )
    assert plain[0] == cropped[0]
    assert plain[1:] != cropped[1:]
    assert [row.baseline for row in plain] == [row.baseline for row in cropped]
    corpus, store = open_corpus(root, "test")
    model, truth = Checkpoint.load(path).build_model(), torch.tensor(corpus.test.speakers)
    for row, frames in zip(cropped, (3, 20, None), strict=True):
        scores = predict([model], store, range(len(store)), 100, frames, Crops(1, 3))
        assert row.accuracy == (scores.argmax(-1) == truth).double().mean().item()
    arguments = ["--part", "test", "--seconds", 0.03, 0.2, "--crops", 1, "--crop-frames", 3]
    assert answer(monkeypatch, "evaluate", "--checkpoint", path, *arguments) == 0
    printed = capsys.readouterr().out.splitlines()[-3:]
    assert [line.split()[-3] for line in printed] == [f"{row.accuracy:.4f}" for row in cropped]


def test_answers_are_needed(best: Path, tmp_path: Path) -> None:
    corpus = write_easy_corpus(tmp_path / "corpus")
    (corpus / "answers.csv").unlink()
    with pytest.raises(UserError, match=r"no answers\.csv.*--part valid"):
        evaluate_checkpoints([best], corpus, "test", [], CPU)


def test_answers_name_known_speakers(best: Path, tmp_path: Path) -> None:
    corpus = write_easy_corpus(tmp_path / "corpus")
    answers = corpus / "answers.csv"
    answers.write_text(answers.read_text().replace("ben", "nobody"))
    with pytest.raises(UserError, match="names 'nobody'"):
        evaluate_checkpoints([best], corpus, "test", [], CPU)


def test_other_speakers_are_refused(best: Path, tmp_path: Path) -> None:
    corpus = write_easy_corpus(tmp_path / "corpus", speakers=("anna", "ben", "dora"))
    with pytest.raises(UserError, match="its speakers are not those of"):
        evaluate_checkpoints([best], corpus, "valid", [], CPU)
