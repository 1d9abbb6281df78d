"""A checkpoint records its training utterances, so that it is not evaluated on them."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from corpora import edited
from experiments import (
    answer,
    assert_same,
    assert_same_run,
    at_step,
    interrupt,
    metrics,
    small_config,
    write_config,
    write_easy_corpus,
)
from speakerid.base.errors import UserError
from speakerid.config import Config
from speakerid.corpus.check import open_corpus
from speakerid.corpus.labelled import Labelled
from speakerid.evaluation import checkpoints
from speakerid.evaluation.durations import Row
from speakerid.training.averaging import average_checkpoints
from speakerid.training.checkpoint import FORMER, Checkpoint
from speakerid.training.run import train
from speakerid.training.run_directory import RunDirectory
from speakerid.training.trained_model import TrainedModel

SPEAKERS = ("anna", "ben", "cleo")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight utterances of each of three speakers; the last two are for validation."""
    return write_easy_corpus(tmp_path_factory.mktemp("record") / "corpus")


@pytest.fixture(scope="module")
def whole(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(small_config(corpus, tmp_path_factory.mktemp("record") / "run"), style="silent").run.path


@pytest.fixture(scope="module")
def stopped(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        at_step(patch, 5, interrupt)
        return train(small_config(corpus, tmp_path_factory.mktemp("record") / "run"), style="silent").run.path


def copy_of(corpus: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(corpus, tmp_path / "elsewhere", ignore=shutil.ignore_patterns("packed")))


def without_last(corpus: Path, tmp_path: Path, count: int) -> Path:
    """A corpus without the last utterances of each speaker."""
    changed = copy_of(corpus, tmp_path)
    with edited(changed / "metadata.json") as metadata:
        for entries in metadata["speakers"].values():
            del entries[len(entries) - count :]
    return changed


def as_it_was(corpus: Path, tmp_path: Path) -> Path:
    return corpus


def packed_again(corpus: Path, tmp_path: Path) -> Path:
    moved = copy_of(corpus, tmp_path)
    open_corpus(moved, quiet=True)
    shutil.rmtree(moved / "packed")
    return moved


def packed_alone(corpus: Path, tmp_path: Path) -> Path:
    moved = copy_of(corpus, tmp_path)
    open_corpus(moved, quiet=True)
    return Path(shutil.copytree(moved / "packed", tmp_path / "alone" / "packed")).parent


def packed_as_float32(corpus: Path, tmp_path: Path) -> Path:
    moved = copy_of(corpus, tmp_path)
    open_corpus(moved, dtype="float32", quiet=True)
    return Path(shutil.copytree(moved / "packed", tmp_path / "alone" / "packed")).parent


def listed_in_another_order(corpus: Path, tmp_path: Path) -> Path:
    moved = copy_of(corpus, tmp_path)
    with edited(moved / "metadata.json") as metadata:
        for entries in metadata["speakers"].values():
            first, last = entries[:6], entries[6:]
            random.Random(0).shuffle(first)
            entries[:] = first + last
        metadata["speakers"] = dict(reversed(metadata["speakers"].items()))
    return moved


def with_sessions(corpus: Path, tmp_path: Path) -> Path:
    """Session names that split the utterances as before."""
    moved = copy_of(corpus, tmp_path)
    with edited(moved / "metadata.json") as metadata:
        for entries in metadata["speakers"].values():
            for index, entry in enumerate(entries):
                entry["session"] = str(index // 6)
    return moved


SAME = [as_it_was, packed_again, packed_alone, packed_as_float32, listed_in_another_order, with_sessions]


@pytest.mark.parametrize("form", SAME)
def test_the_same_corpus_in_another_form_is_resumed(
    form: Callable[[Path, Path], Path], corpus: Path, whole: Path, stopped: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    run = Path(shutil.copytree(stopped, tmp_path / "run"))
    train(small_config(form(corpus, tmp_path), run), resume=True)
    if form in (as_it_was, packed_again, packed_alone):
        assert_same_run(run, whole)
    found, expected = (Checkpoint.load(folder / "last.pt").utterances for folder in (run, stopped))
    assert_same(found, expected, "utterances")
    assert "trained on" not in capsys.readouterr().out


def one_fewer(corpus: Path, tmp_path: Path) -> Path:
    return without_last(corpus, tmp_path, 1)


def two_fewer(corpus: Path, tmp_path: Path) -> Path:
    return without_last(corpus, tmp_path, 2)


def one_more(corpus: Path, tmp_path: Path) -> Path:
    changed = copy_of(corpus, tmp_path)
    with edited(changed / "metadata.json") as metadata:
        entries = metadata["speakers"]["ben"]
        shutil.copy(changed / entries[0]["feature_path"], changed / "uttr-new.pt")
        entries.append({**entries[0], "feature_path": "uttr-new.pt"})
    return changed


def another_order(corpus: Path, tmp_path: Path) -> Path:
    changed = copy_of(corpus, tmp_path)
    with edited(changed / "metadata.json") as metadata:
        metadata["speakers"]["anna"].reverse()
    return changed


def another_length(corpus: Path, tmp_path: Path) -> Path:
    changed = copy_of(corpus, tmp_path)
    with edited(changed / "metadata.json") as metadata:
        entry = metadata["speakers"]["anna"][0]
        entry["mel_len"] -= 1
        torch.save(torch.load(changed / entry["feature_path"])[1:].clone(), changed / entry["feature_path"])
    return changed


def other_speakers(corpus: Path, tmp_path: Path) -> Path:
    changed = copy_of(corpus, tmp_path)
    with edited(changed / "metadata.json") as metadata:
        speakers = metadata["speakers"]
        speakers["anna"][0], speakers["ben"][0] = speakers["ben"][0], speakers["anna"][0]
    return changed


CHANGES = [
    (one_fewer, "0 added, 3 removed, 3 moved between training and validation"),
    (two_fewer, "0 added, 6 removed, 6 moved between training and validation"),
    (one_more, "1 added, 0 removed, 1 moved between training and validation"),
    (another_order, "0 added, 0 removed, 4 moved between training and validation"),
    (another_length, "1 added, 1 removed, 0 moved between training and validation"),
    (other_speakers, "utterances have other speakers"),
]


@pytest.mark.parametrize(("change", "said"), CHANGES, ids=[change.__name__ for change, _ in CHANGES])
def test_a_changed_corpus_is_not_resumed(
    change: Callable[[Path, Path], Path], said: str, corpus: Path, stopped: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(stopped, tmp_path / "run"))
    before = {path: path.read_bytes() for path in run.rglob("*.*")}
    with pytest.raises(UserError, match=r"^[^\n]*has changed \([^\n]*") as refused:
        train(small_config(change(corpus, tmp_path), run), resume=True, style="silent")
    assert said in str(refused.value)
    assert f"init_from={run}/best.pt" in str(refused.value)
    assert {path: path.read_bytes() for path in run.rglob("*.*")} == before


def test_more_steps_or_speakers_name_init_from(whole: Path, corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"total_steps is 24, was 12.*init_from={whole}/best\.pt"):
        train(small_config(corpus, whole, total_steps=24), resume=True, style="silent")
    other = write_easy_corpus(tmp_path / "other", speakers=("anna", "ben", "dora"))
    with pytest.raises(UserError, match=rf"speakers of the corpus are not.*init_from={whole}/best\.pt"):
        train(small_config(other, whole), resume=True, style="silent")


def said_by(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: object) -> tuple[int, str]:
    capsys.readouterr()
    status = answer(monkeypatch, *arguments)
    printed = capsys.readouterr()
    return status, printed.out + printed.err


@pytest.mark.parametrize("command", ["evaluate", "export", "average"])
def test_training_utterances_are_not_evaluated_on(
    command: str, corpus: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def run(data: Path) -> tuple[int, str]:
        if command == "evaluate":
            return said_by(capsys, monkeypatch, "evaluate", "--checkpoint", whole / "best.pt", "--data", data)
        if command == "export":
            out = tmp_path / "b.safetensors"
            return said_by(capsys, monkeypatch, "export", whole / "best.pt", out, "--data", data)
        moved = Path(shutil.copytree(whole, tmp_path / f"run{random.random()}"))
        for path in moved.rglob("*.pt"):
            content = torch.load(path)
            content["config"]["data"]["root"] = str(data)
            path.unlink()
            torch.save(content, path)
        return said_by(capsys, monkeypatch, "average", moved)

    assert "trained on" not in run(corpus)[1].replace("was trained on", "")
    status, printed = run(one_fewer(corpus, tmp_path / "one"))
    assert status == 0
    assert "validation: 3 of 6 utterances were trained on; they are left out, and 3 remain\n" in printed
    status, printed = run(two_fewer(corpus, tmp_path / "two"))
    assert status == 2
    assert "validation: 6 of 6 utterances were trained on, so none are left to evaluate on" in printed


def test_no_utterance_that_was_trained_on_validates(corpus: Path, whole: Path, tmp_path: Path) -> None:
    """Without the last one of each speaker, the last two validate, of which the first was trained on."""
    model = TrainedModel.load([whole / "best.pt"], one_fewer(corpus, tmp_path))
    train_part, valid = model.parts
    names = model.data.corpus.labelled.names
    assert sorted(names[row] for row in valid.indices) == [f"uttr-{speaker}6.pt" for speaker in SPEAKERS]
    assert sorted([*train_part.indices, *valid.indices]) == list(range(len(names)))


def test_training_utterances_in_the_test_part_are_left_out(
    corpus: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = copy_of(corpus, tmp_path)
    metadata = json.loads((changed / "metadata.json").read_text())
    moved = metadata["speakers"]["anna"][0]
    with edited(changed / "testdata.json") as testdata:
        testdata["utterances"].append(moved)
    with (changed / "answers.csv").open("a") as file:
        file.write(f"{moved['feature_path']},anna\n")
    count = len(json.loads((changed / "testdata.json").read_text())["utterances"])
    judged = list[int]()
    evaluate = checkpoints.evaluate

    def counted(models: Any, train: Any, tested: Labelled, *rest: Any) -> list[Row]:
        judged.append(len(tested.indices))
        return evaluate(models, train, tested, *rest)

    monkeypatch.setattr(checkpoints, "evaluate", counted)
    arguments = ["evaluate", "--checkpoint", whole / "best.pt", "--data", changed, "--part", "test"]
    assert (
        f"test: 1 of {count} utterances were trained on; they are left out"
        in said_by(capsys, monkeypatch, *arguments)[1]
    )
    assert judged == [count - 1]


def test_utterances_of_init_from_are_reported_and_recorded(
    corpus: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = one_fewer(corpus, tmp_path)
    config = small_config(changed, tmp_path / "new").model_copy(update={"init_from": whole / "best.pt"})
    with monkeypatch.context() as patch:
        at_step(patch, 5, interrupt)
        train(config)
    assert "was trained on 3 of the 6 validation utterances" in capsys.readouterr().out
    best = train(config, resume=True)
    status, printed = said_by(capsys, monkeypatch, "evaluate", "--checkpoint", best.run.best)
    assert status == 0
    assert "validation: 3 of 6 utterances were trained on; they are left out, and 3 remain\n" in printed


@pytest.fixture
def former(stopped: Path, tmp_path: Path) -> Path:
    """The stopped run as an older version would have written it."""
    run = Path(shutil.copytree(stopped, tmp_path / "former"))
    for path in run.rglob("*.pt"):
        content = torch.load(path)
        content["format"] = FORMER
        del content["utterances"]
        path.unlink()
        torch.save(content, path)
    return run


def test_a_checkpoint_of_the_earlier_format_is_read_with_a_warning(
    former: Path, whole: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    unknown = "without a record of its training utterances"
    begun = small_config(corpus, tmp_path / "new").model_copy(update={"init_from": former / "last.pt"})
    for arguments in (
        ["evaluate", "--checkpoint", former / "last.pt"],
        ["train", "--config", write_config(tmp_path / "a.yaml", begun)],
        ["train", "--config", write_config(tmp_path / "b.yaml", small_config(corpus, former)), "--resume"],
    ):
        status, printed = said_by(capsys, monkeypatch, *arguments)
        assert (status, printed.count(unknown)) == (0, 1)
    assert_same_run(former, whole)
    arguments = ["infer", "--checkpoint", former / "last.pt", "--data", corpus, "--output", tmp_path / "out.csv"]
    assert unknown not in said_by(capsys, monkeypatch, *arguments)[1]


def test_a_second_training_does_not_replace_the_first(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second process finds no run, opens its corpus slowly, and gets the lock when the first has ended."""
    import speakerid.training.run as module

    config: Config = small_config(corpus, tmp_path / "run")
    real = module.open_training_data

    def slow(*arguments: object) -> object:
        monkeypatch.setattr(module, "open_training_data", real)
        train(config, style="silent")
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "open_training_data", slow)
    with pytest.raises(UserError, match="already holds a run"):
        train(small_config(corpus, tmp_path / "run", total_steps=3), style="silent")
    assert metrics(tmp_path / "run" / "metrics.jsonl")[-1]["step"] == 12
    assert [*RunDirectory(tmp_path / "run", resume=True).kept()][-1] == 12


def test_a_file_for_a_run_folder_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for name in ("file", "file/below"):
        with pytest.raises(UserError, match=r"^\S+: found a file, expected a folder or a new name$"):
            train(small_config(tmp_path / "no corpus", tmp_path / name), style="silent")
    assert (tmp_path / "file").read_text() == "mine"


def test_averages_record_what_they_were_trained_on(whole: Path) -> None:
    average_checkpoints(whole, whole.with_name("average.pt"))
    assert Checkpoint.load(whole.with_name("average.pt")).utterances is not None
