"""Which checkpoints a run folder keeps, and which of them best.pt and last.pt are links to."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from experiments import small_config, write_easy_corpus
from speakerid.base.errors import UserError
from speakerid.training.checkpoint import Checkpoint
from speakerid.training.run import train
from speakerid.training.run_directory import RunDirectory
from speakerid.training.run_state import RunState
from speakerid.training.runs import read_run

Open = Callable[..., RunDirectory]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    folder = tmp_path_factory.mktemp("run_directory")
    config = small_config(write_easy_corpus(folder / "corpus"), folder / "run", total_steps=1, warmup_steps=0)
    return Checkpoint.load(train(config, style="silent").run.last)


@pytest.fixture
def opened(checkpoint: Checkpoint, tmp_path: Path) -> Iterator[Open]:
    """Opens the run folder of the test and begins a run in it."""
    folders: list[RunDirectory] = []

    def open_at(step: int = 0, keep_last: int = 1, keep_best: int = 1) -> RunDirectory:
        folders.append(RunDirectory(tmp_path / "run", step > 0, keep_last, keep_best))
        folders[-1].begin(checkpoint.config, RunState(step=step, validated=step))
        return folders[-1]

    yield open_at
    for folder in folders:
        folder.close()


def validated(run: RunDirectory, checkpoint: Checkpoint, step: int, accuracy: float, is_best: bool) -> None:
    run.log("valid", step, accuracy=accuracy)
    run.save(replace(checkpoint, step=step, validated=step, accuracy=accuracy), is_best)


def kept(run: RunDirectory) -> list[int]:
    return sorted(int(path.stem) for path in (run.path / "checkpoints").iterdir())


def steps(run: RunDirectory) -> tuple[int, int]:
    """Steps of best.pt and last.pt."""
    return Checkpoint.load(run.best).step, Checkpoint.load(run.last).step


def refuse(source: Path, target: Path) -> None:
    raise OSError("no second names here")


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize(
    ("keep_last", "keep_best", "expected"),
    [
        (1, 1, {20, 60}), (2, 1, {20, 50, 60}), (1, 2, {20, 50, 60}), (2, 3, {20, 40, 50, 60}),
        (9, 9, {0, 10, 20, 30, 40, 50, 60}),
    ],
)  # fmt: skip
def test_the_newest_and_the_best_are_kept(
    keep_last: int, keep_best: int, expected: set[int], links: bool,
    opened: Open, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if not links:
        monkeypatch.setattr(os, "link", refuse)
    run = opened(0, keep_last, keep_best)
    run.save(replace(checkpoint, step=0, validated=0, accuracy=None), False)
    for step, accuracy, is_best in [(10, 0.1, True), (20, 0.9, True), (30, 0.2, False), (40, 0.6, False)]:
        run.save(replace(checkpoint, step=step, validated=step - 10), False)
        validated(run, checkpoint, step, accuracy, is_best)
    validated(run, checkpoint, 50, 0.9, False)
    run.save(replace(checkpoint, step=60, validated=50), False)
    assert set(kept(run)) == expected
    assert steps(run) == (20, 60)
    assert run.last.samefile(run.path / "checkpoints" / "00000060.pt") == links
    assert sorted(path.name for path in run.path.iterdir()) == [
        "best.pt", "checkpoints", "config.yaml", "last.pt", "metrics.jsonl", "tensorboard",
    ]  # fmt: skip


def test_a_folder_where_no_step_was_done_holds_no_run(opened: Open, checkpoint: Checkpoint, tmp_path: Path) -> None:
    """A run killed before its first checkpoint leaves such a folder."""
    opened()
    assert not RunDirectory.holds_a_run(tmp_path / "run")
    with pytest.raises(UserError, match="start the run without --resume"):
        RunDirectory(tmp_path / "run", resume=True)
    RunDirectory(tmp_path / "run", resume=False)


def test_a_log_without_checkpoints_is_not_overwritten(opened: Open, tmp_path: Path) -> None:
    opened().log("train", 2, loss=1.0)
    with pytest.raises(UserError, match="already holds a run"):
        RunDirectory(tmp_path / "run", resume=False)


def test_links_are_restored(opened: Open, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill between a checkpoint and its links leaves the former links and checkpoints that should be removed."""
    run = opened()
    validated(run, checkpoint, 10, 0.5, True)
    with monkeypatch.context() as patch:
        patch.setattr("speakerid.training.run_directory._link", lambda path, name: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            validated(run, checkpoint, 20, 0.8, True)
    assert (steps(run), kept(run)) == ((10, 10), [10, 20])
    run = opened(20)
    assert (steps(run), kept(run)) == ((20, 20), [20])


def test_the_best_is_not_renamed_to_a_worse_one(opened: Open, checkpoint: Checkpoint) -> None:
    """If the best checkpoint was removed from checkpoints/, best.pt still holds it."""
    run = opened(0, 2)
    validated(run, checkpoint, 10, 0.8, True)
    validated(run, checkpoint, 20, 0.5, False)
    (run.path / "checkpoints" / "00000010.pt").unlink()
    run = opened(20, 2)
    assert steps(run) == (10, 20)


def test_logs_and_checkpoints_after_the_step_are_dropped(opened: Open, checkpoint: Checkpoint) -> None:
    run = opened(0, 3)
    for step in (10, 20, 30):
        run.log("train", step, loss=1.0)
        validated(run, checkpoint, step, step / 100, True)
    run.log("train", 35, loss=1.0)
    run = opened(20, 3)
    assert kept(run) == [10, 20]
    assert [(record.step, record.part) for record in run.read_log().records] == [
        (10, "train"), (10, "valid"), (20, "train"), (20, "valid"),
    ]  # fmt: skip
    assert steps(run) == (20, 20)


DAMAGED_LINES = [
    b'{"step": 10, "pa', b"", b"5", b"{}", b"[]", b"null", b'"text"', b"\xff\xfe", b"\0" * 20, b"[" * 10_000,
    b'{"stdp": 8, "part": "train", "loss": 1.0}', b'{"step": 8, "qart": "train", "loss": 1.0}',
    b'{"step": 8, "part": "valid", "bccuracy": 1.0}', b'{"step": 8, "part": "train"}',
    b'{"step": -8, "part": "train", "loss": 1.0}', b'{"step": 8.5, "part": "train", "loss": 1.0}',
    b'{"step": "8", "part": "train", "loss": 1.0}', b'{"step": true, "part": "train", "loss": 1.0}',
    b'{"step": 1e400, "part": "train", "loss": 1.0}', b'{"step": ' + b"9" * 5_000 + b', "part": "train", "loss": 1.0}',
    b'{"step": 8, "part": 5, "loss": 1.0}', b'{"step": 8, "part": "train", "loss": "low"}',
    b'{"step": 8, "part": "valid", "accuracy": [1.0]}', b'{"step": 8, "part": "valid", "accuracy": null}',
    b'{"step": 8, "part": "valid", "accuracy": 1.0, "utterances": "many"}',
    b'{"step": 8, "part": "rollback", "rollbacks": "one"}', b'{"step": 8, "part": "train", "loss": 1.0}}',
]  # fmt: skip


@pytest.mark.parametrize("line", DAMAGED_LINES, ids=range(len(DAMAGED_LINES)))
@pytest.mark.usefixtures("curves")
def test_a_damaged_line_of_the_log_is_skipped_and_kept(opened: Open, checkpoint: Checkpoint, line: bytes) -> None:
    run = opened(0, 2)
    validated(run, checkpoint, 10, 0.5, True)
    run.log("train", 10, loss=1.0)
    before = run.metrics.read_bytes()
    run.metrics.write_bytes(line + b"\n" + before)
    run = opened(10, 2)
    assert run.metrics.read_bytes() == line + b"\n" + before
    assert run.newest()[1] == [f"{run.metrics}: damaged lines: 1, the first is line 1; they are left in the file"]
    assert [record.step for record in run.read_log().records] == [10, 10]
    validated(run, checkpoint, 20, 0.7, True)
    assert steps(run) == (20, 20)
    assert read_run(run.path, run.path.parent).best_step == 20


@pytest.mark.usefixtures("curves")
def test_curves_skip_damaged_lines(opened: Open, checkpoint: Checkpoint) -> None:
    run = opened()
    run.log("train", 10, loss=1.0)
    validated(run, checkpoint, 10, 0.5, True)
    with run.metrics.open("ab") as file:
        file.write(b"".join(line + b"\n" for line in DAMAGED_LINES))
    run.draw_curves()
    assert run.curves.exists()


def test_the_best_whose_line_is_damaged_stays_the_best(opened: Open, checkpoint: Checkpoint) -> None:
    run = opened(0, 2)
    validated(run, checkpoint, 10, 0.8, True)
    validated(run, checkpoint, 20, 0.5, False)
    run.metrics.write_bytes(run.metrics.read_bytes().replace(b"accuracy", b"bccuracy", 1))
    assert steps(opened(20, 2)) == (10, 20)


@pytest.mark.parametrize("name", ["metrics.jsonl", ".lock"])
def test_a_pipe_in_a_run_folder_does_not_block(opened: Open, checkpoint: Checkpoint, name: str) -> None:
    run = opened()
    validated(run, checkpoint, 10, 0.5, True)
    (run.path / name).unlink(missing_ok=True)
    os.mkfifo(run.path / name)
    assert len(read_run(run.path, run.path.parent).problems) == (name == "metrics.jsonl")
    if name == "metrics.jsonl":
        with pytest.raises(UserError, match=r"metrics\.jsonl: cannot be read: found a named pipe"):
            run.read_log()
        with pytest.raises(UserError) as error:
            run.newest()
        assert str(error.value).count("named pipe") == 1
