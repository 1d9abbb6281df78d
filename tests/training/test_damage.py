"""Damaged checkpoints and full or read-only disks cost a line of output and some steps, but not the run."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from corpora import disk, make_read_only
from experiments import Bomb, answer, assert_same_run, at_step, interrupt, small_config, write_config, write_easy_corpus
from speakerid.base.errors import UserError
from speakerid.training.checkpoint import Checkpoint
from speakerid.training.run import train
from speakerid.training.run_directory import RunDirectory


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_easy_corpus(tmp_path_factory.mktemp("damage") / "corpus")


@pytest.fixture(scope="module")
def whole(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(small_config(corpus, tmp_path_factory.mktemp("damage") / "whole")).run.path


@pytest.fixture(scope="module")
def stopped(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run interrupted after step 10, one step after a checkpoint and two after a validation."""
    with pytest.MonkeyPatch.context() as patch:
        at_step(patch, 9, interrupt)
        return train(small_config(corpus, tmp_path_factory.mktemp("damage") / "stopped")).run.path


def newest(run: Path) -> list[Path]:
    return sorted((run / "checkpoints").iterdir(), reverse=True)


def truncate(path: Path, marker: Path) -> None:
    path.write_bytes(path.read_bytes()[:20_000])


def empty(path: Path, marker: Path) -> None:
    path.write_bytes(b"")


def change_a_byte(path: Path, marker: Path) -> None:
    content = bytearray(path.read_bytes())
    content[content.index(torch.load(path)["model"]["prenet.weight"].numpy().tobytes())] ^= 1
    path.write_bytes(content)


def put_code(path: Path, marker: Path) -> None:
    torch.save({**torch.load(path), "progress": Bomb(marker)}, path)


def write_as_before(path: Path, marker: Path) -> None:
    torch.save({**torch.load(path), "format": "speakerid checkpoint 2"}, path)


DAMAGES = [truncate, empty, change_a_byte, put_code, write_as_before]


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_checkpoint_before_a_damaged_one_is_resumed_from(
    damage: Callable[[Path, Path], None],
    corpus: Path,
    whole: Path,
    stopped: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "run"
    shutil.copytree(stopped, run)
    damage(newest(run)[0], tmp_path / "ran")
    train(small_config(corpus, run), resume=True)
    out = capsys.readouterr().out
    assert f"skipped: {run}/checkpoints/00000010.pt: " in out
    assert f"Resuming {run} after step 9" in out
    assert not (tmp_path / "ran").exists()
    assert_same_run(run, whole)


def test_all_checkpoints_are_damaged(corpus: Path, stopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    run = tmp_path / "run"
    shutil.copytree(stopped, run)
    for path, damage in zip(newest(run), DAMAGES, strict=False):
        damage(path, tmp_path / "ran")
    before = {path: path.read_bytes() for path in run.rglob("*.*")}
    config = write_config(tmp_path / "config.yaml", small_config(corpus, run))
    for option in ("--resume", "--auto-resume"):
        assert answer(monkeypatch, "train", "--config", config, option) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert error.count("\n") == 1
        assert error.count("not a valid checkpoint: ") == len(newest(run))
    assert before == {path: path.read_bytes() for path in run.rglob("*.*")}


def test_a_checkpoint_of_another_model_is_not_resumed(corpus: Path, stopped: Path, tmp_path: Path) -> None:
    shutil.copytree(stopped, tmp_path / "run")
    other = small_config(corpus, tmp_path / "run", batch_size=4)
    other = other.model_copy(update={"model": other.model.model_copy(update={"d_model": 16})})
    reason = (
        r"model\.d_model is 16, was 8; train\.batch_size is 4, was 6; restore the settings, or start another run_dir"
    )
    with pytest.raises(UserError, match=reason):
        train(other, resume=True)


def test_code_in_a_checkpoint_or_a_feature_file_is_not_run(
    stopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus, run = write_easy_corpus(tmp_path / "corpus"), tmp_path / "run"
    shutil.copytree(stopped, run)
    best, marker, output = run / "best.pt", tmp_path / "ran", tmp_path / "out.csv"
    train_again = ["train", "--config", write_config(tmp_path / "config.yaml", small_config(corpus, run)), "--resume"]
    recognise = ["infer", "--checkpoint", best, "--data", corpus, "--output", output]
    torch.save(Bomb(marker), corpus / "uttr-anna3.pt")
    torch.save(Bomb(marker), corpus / "uttr-test3.pt")
    for arguments, where in [(train_again, "uttr-anna3.pt"), (recognise, "uttr-test3.pt")]:
        assert answer(monkeypatch, *arguments) == 2
        assert f"{where}: holds Python objects or code" in capsys.readouterr().err
    put_code(best, marker)
    assert answer(monkeypatch, *recognise) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {best}: not a valid checkpoint: holds Python objects or code")
    assert error.count("\n") == 1
    assert not output.exists()
    assert not marker.exists()


@pytest.mark.parametrize("free", [0, 4_000, 40_000, 80_000])
@pytest.mark.parametrize("step", [1, 7])
def test_a_full_disk_stops_the_run_which_resumes_when_there_is_space(
    free: int,
    step: int,
    corpus: Path,
    whole: Path,
    tmp_path: Path,
    draw_curves: Callable[[RunDirectory], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if drawn := (step, free) == (7, 80_000):  # room for a checkpoint, but not for the plot
        monkeypatch.setattr(RunDirectory, "draw_curves", draw_curves)
    with disk(tmp_path / "disk", "2m") as folder:
        run, filler = folder / "run", folder / "filler"
        config = write_config(tmp_path / "config.yaml", small_config(corpus, run))

        def fill() -> None:
            room = shutil.disk_usage(folder).free - free
            filler.write_bytes(b"x" * room)

        with monkeypatch.context() as patch:
            at_step(patch, step, fill)
            assert answer(patch, "train", "--config", config, "--quiet") == 2
        out, error = capsys.readouterr()
        assert out == ""
        assert error.startswith(f"error: {run}")
        assert "No space left on device" in error
        assert ("curves.png" in error) == drawn
        assert error.count("\n") == 1
        assert all(Checkpoint.load(path) for path in newest(run))
        assert Checkpoint.load(run / "last.pt").step >= step // 4 * 4
        filler.unlink()
        assert answer(monkeypatch, "train", "--config", config, "--resume") == 0
        assert_same_run(run, whole)
        assert (run / "curves.png").exists() == drawn


def test_curves_are_drawn_after_a_crash_in_the_last_validation(
    corpus: Path, tmp_path: Path, curves: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config(corpus, tmp_path / "run", total_steps=4)
    with monkeypatch.context() as patch:
        patch.setattr("speakerid.training.run_directory.RunDirectory.draw_curves", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(config)
    assert train(config, resume=True).run.curves.exists()


def test_a_read_only_disk_is_refused_in_one_line(
    corpus: Path, stopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with disk(tmp_path / "disk", "2m") as folder:
        shutil.copytree(stopped, folder / "run")
        make_read_only(folder)
        for name, option in (("run", "--resume"), ("other", "--auto-resume")):
            config = write_config(tmp_path / "config.yaml", small_config(corpus, folder / name))
            assert answer(monkeypatch, "train", "--config", config, option) == 2
            error = capsys.readouterr().err
            assert error == f"error: {folder / name}: cannot be written: Read-only file system\n"
