"""Submissions have the same answers in any batch, are written atomically, and need a matching corpus."""

import csv
from pathlib import Path

import pytest
import torch

from experiments import SPEAKERS, answer, small_config, write_easy_corpus, write_hard_corpus
from speakerid.base.errors import UserError
from speakerid.corpus.check import open_corpus
from speakerid.evaluation.submission import infer
from speakerid.training.batches import Crops
from speakerid.training.checkpoint import Checkpoint
from speakerid.training.run import train

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Corpus, and two runs with different seeds, neither of them perfect."""
    folder = tmp_path_factory.mktemp("submission")
    write_easy_corpus(folder / "corpus", tests=31)
    for seed in (0, 1):
        config = small_config(folder / "corpus", folder / f"run{seed}", total_steps=4)
        train(config.model_copy(update={"seed": seed}))
    return folder


def rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_one_row_per_utterance_in_the_order_of_testdata(folder: Path, tmp_path: Path) -> None:
    corpus = infer([folder / "run0" / "last.pt"], folder / "corpus", tmp_path / "out.csv", CPU)
    header, *answers = rows(tmp_path / "out.csv")
    assert header == ["Id", "Category"]
    assert [utterance for utterance, _ in answers] == [u.feature_path for u in corpus.test]
    assert len(answers) == 31
    assert {speaker for _, speaker in answers} <= set(SPEAKERS)


@pytest.mark.parametrize("frames_per_batch", [1, 50, 137, 100_000])
def test_any_batch_size_gives_what_one_by_one_gives(frames_per_batch: int, folder: Path, tmp_path: Path) -> None:
    path = folder / "run0" / "last.pt"
    infer([path], folder / "corpus", tmp_path / "out.csv", CPU, frames_per_batch)
    checkpoint = Checkpoint.load(path)
    model = checkpoint.build_model()
    corpus, store = open_corpus(folder / "corpus", "test")
    with torch.no_grad():
        one_by_one = [int(model(store.utterance(index)[None]).argmax()) for index in range(len(corpus.test))]
    expected = [[u.feature_path, checkpoint.speakers[k]] for u, k in zip(corpus.test, one_by_one, strict=True)]
    assert rows(tmp_path / "out.csv")[1:] == expected


def test_an_ensemble_averages_log_probabilities(folder: Path, tmp_path: Path) -> None:
    paths = [folder / f"run{seed}" / "last.pt" for seed in (0, 1)]
    infer(paths, folder / "corpus", tmp_path / "out.csv", CPU)
    models = [Checkpoint.load(path).build_model() for path in paths]
    corpus, store = open_corpus(folder / "corpus", "test")
    with torch.no_grad():
        scores = [
            sum(model(store.utterance(index)[None]).log_softmax(-1) for model in models)
            for index in range(len(corpus.test))
        ]
    expected = [SPEAKERS[int(torch.as_tensor(score).argmax())] for score in scores]
    assert [speaker for _, speaker in rows(tmp_path / "out.csv")[1:]] == expected


def test_crops_are_averaged_with_the_whole(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [folder / f"run{seed}" / "last.pt" for seed in (0, 1)]
    root = write_hard_corpus(tmp_path / "corpus")
    infer(paths, root, tmp_path / "whole.csv", CPU)
    infer(paths, root, tmp_path / "out.csv", CPU, crops=Crops(3, 5))
    models = [Checkpoint.load(path).build_model() for path in paths]
    corpus, store = open_corpus(root, "test")
    expected = []
    for index in range(len(corpus.test)):
        frames = store.utterance(index)
        room = len(frames) - 5
        crops = [frames[start : start + 5] for start in (0, room // 2, room)]
        with torch.no_grad():
            scores = [model(view[None])[0].log_softmax(-1) for view in [frames, *crops] for model in models]
        expected.append(SPEAKERS[int(torch.stack(scores).mean(0).argmax())])
    assert [speaker for _, speaker in rows(tmp_path / "out.csv")[1:]] == expected
    assert rows(tmp_path / "out.csv") != rows(tmp_path / "whole.csv")
    arguments = ["--data", root, "--output", tmp_path / "told.csv", "--crops", 3, "--crop-frames", 5]
    assert answer(monkeypatch, "infer", "--checkpoint", *paths, *arguments) == 0
    assert rows(tmp_path / "told.csv") == rows(tmp_path / "out.csv")


def test_test_data_alone_are_enough(folder: Path, tmp_path: Path) -> None:
    corpus = write_easy_corpus(tmp_path / "corpus")
    (corpus / "metadata.json").unlink()
    (corpus / "mapping.json").unlink()
    infer([folder / "run0" / "last.pt"], corpus, tmp_path / "out.csv", CPU)
    assert len(rows(tmp_path / "out.csv")) == 8


def test_other_mel_bands_are_refused(folder: Path, tmp_path: Path) -> None:
    corpus = write_easy_corpus(tmp_path / "corpus", n_mels=9)
    with pytest.raises(UserError, match=r"does not belong to .*last\.pt: n_mels 9 \(trained on 8\)"):
        infer([folder / "run0" / "last.pt"], corpus, tmp_path / "out.csv", CPU)


def test_other_feature_settings_are_refused(folder: Path, tmp_path: Path) -> None:
    corpus = write_easy_corpus(tmp_path / "corpus")
    settings = (corpus / "features.yaml").read_text()
    (corpus / "features.yaml").write_text(settings.replace("f_min: 50.0", "f_min: 20.0"))
    with pytest.raises(UserError, match=r"f_min 20\.0 \(trained on 50\.0\)"):
        infer([folder / "run0" / "last.pt"], corpus, tmp_path / "out.csv", CPU)


def test_nothing_to_recognise(folder: Path, tmp_path: Path) -> None:
    corpus = write_easy_corpus(tmp_path / "corpus", tests=0)
    with pytest.raises(UserError, match=r"testdata\.json: utterances: none to identify"):
        infer([folder / "run0" / "last.pt"], corpus, tmp_path / "out.csv", CPU)


def test_an_ensemble_of_other_speakers_is_refused(folder: Path, tmp_path: Path) -> None:
    corpus = write_easy_corpus(tmp_path / "corpus", speakers=("anna", "ben"))
    train(small_config(corpus, tmp_path / "run", total_steps=3))
    paths = [folder / "run0" / "last.pt", tmp_path / "run" / "last.pt"]
    with pytest.raises(UserError, match="its speakers differ"):
        infer(paths, folder / "corpus", tmp_path / "out.csv", CPU)


def test_a_failure_leaves_the_earlier_submission(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    output.write_text("earlier")
    corpus = write_easy_corpus(tmp_path / "corpus")
    (corpus / "uttr-test3.pt").write_bytes(b"")
    with pytest.raises(UserError, match=r"uttr-test3\.pt"):
        infer([folder / "run0" / "last.pt"], corpus, output, CPU)
    assert output.read_text() == "earlier"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus", "out.csv"]
