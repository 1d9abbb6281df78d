"""Output of a run to a terminal, a log file and a program, and its response to signals and a second process."""

import fcntl
import io
import json
import os
import re
import signal
import struct
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from experiments import answer, assert_same_run, at_step, metrics, small_config, write_config, write_easy_corpus
from speakerid.base import progress
from speakerid.base.locks import file_lock
from speakerid.training import run, validation
from speakerid.training.checkpoint import Checkpoint
from speakerid.training.run_directory import RunDirectory

CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Not packed yet, since packing prints messages too."""
    return write_easy_corpus(tmp_path / "corpus")


@pytest.fixture
def config(corpus: Path, tmp_path: Path) -> Path:
    return write_config(tmp_path / "config.yaml", small_config(corpus, tmp_path / "run"))


def test_quiet_prints_only_the_result(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert answer(monkeypatch, "train", "--config", config, "--quiet") == 0
    out, err = capfd.readouterr()
    assert re.fullmatch(
        r"Best validation accuracy [01]\.\d{4} \(6 utterances, so [01]\.\d\d to [01]\.\d\d with 95 % confidence\): "
        rf"{tmp_path}/run/best\.pt\nCurves: \S+  Metrics: \S+\n",
        out,
    )
    assert err == ""


def test_json_prints_only_objects(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert answer(monkeypatch, "train", "--config", config, "--json") == 0
    out, err = capfd.readouterr()
    objects = [json.loads(line) for line in out.splitlines()]
    assert all(isinstance(found, dict) for found in objects)
    records = [found for found in objects if "part" in found]
    assert records == [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert all(set(found) == {"message"} for found in objects if found not in records)
    assert err == ""


def test_a_log_file_gets_lines_and_no_control_characters(
    config: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert answer(monkeypatch, "train", "--config", config) == 0
    best, output = tmp_path / "run" / "best.pt", tmp_path / "out.csv"
    assert answer(monkeypatch, "infer", "--checkpoint", best, "--data", corpus, "--output", output) == 0
    out, err = capfd.readouterr()
    assert "Train: 100% 4/4" in err
    assert "Infer: 100% 7/7" in err
    assert not CONTROL.findall(out + err)


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.BytesIO]:
    """Replace stdout and stderr by a terminal; yields a buffer that holds the output after the block."""
    written = io.BytesIO()
    screen, end = os.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))

    def read() -> None:
        while content := _read_or_nothing(screen):
            written.write(content)

    reader = threading.Thread(target=read)
    reader.start()
    with open(end, "w", buffering=1) as file, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", file)
        patch.setattr(sys, "stderr", file)
        yield written
    reader.join()
    os.close(screen)


def _read_or_nothing(screen: int) -> bytes:
    try:
        return os.read(screen, 1 << 16)
    except OSError:  # the other end was closed
        return b""


def test_a_terminal_gets_bars_that_move(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "REFRESH_SECONDS", 0.0)
    with terminal(monkeypatch) as screen:
        assert answer(monkeypatch, "train", "--config", config) == 0
    frames = screen.getvalue().decode().split("\r")
    number = r"\d+\.\d+"
    for step in range(1, 13):
        done = (step - 1) % 4 + 1
        bar = rf"Train: +{25 * done}% {done}/4 \[.*step/s, accuracy={number}, loss={number}, step={step}, "
        bar += rf"lr={number}e-\d\d, eta=0:00:\d\d\]"
        assert any(re.search(bar, frame) for frame in frames), step
    assert any(re.search(rf"Valid: 100% 6/6 \[.*uttr/s, accuracy={number}, loss={number}\]", frame) for frame in frames)


def test_quiet_is_quiet_on_a_terminal_too(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as screen:
        assert answer(monkeypatch, "train", "--config", config, "--quiet") == 0
    assert [line.split()[0] for line in screen.getvalue().decode().splitlines()] == ["Best", "Curves:"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("watching")
    return run.train(small_config(write_easy_corpus(folder / "corpus"), folder / "whole")).run.path


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
@pytest.mark.parametrize("where", ["step", "validation", "save"])
def test_a_signal_saves_within_a_step_and_nothing_is_lost(
    number: signal.Signals,
    status: int,
    where: str,
    config: Path,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        if where == "step":
            at_step(patch, 4, lambda: os.kill(os.getpid(), number))
        else:
            owner, name = (validation, "predict_batches") if where == "validation" else (RunDirectory, "save")
            patch.setattr(owner, name, signalled(getattr(owner, name), number))
        assert answer(patch, "train", "--config", config) == status
    assert Checkpoint.load(tmp_path / "run" / "last.pt").step == {"step": 5, "validation": 5, "save": 1}[where]
    assert "Continue with: speakerid train --config" in capsys.readouterr().out
    assert signal.getsignal(number) == before
    assert answer(monkeypatch, "train", "--config", config, "--resume") == 0
    assert_same_run(tmp_path / "run", whole)


def signalled(function: object, number: signal.Signals) -> object:
    """The function, with its first call interrupted by a signal."""
    left = iter([number])

    def interrupted(*arguments: object, **named: object) -> object:
        for once in left:
            os.kill(os.getpid(), once)
        return function(*arguments, **named)  # pyright: ignore[reportCallIssue]

    return interrupted


def test_a_second_process_is_refused(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        seen: list[tuple[int, str]] = []

        def start_another() -> None:
            capsys.readouterr()
            seen.append(
                (answer(patch, "train", "--config", config, "--auto-resume", "--quiet"), capsys.readouterr().err)
            )

        at_step(patch, 7, start_another)
        assert answer(patch, "train", "--config", config, "--quiet") == 0
    assert seen == [(2, f"error: {tmp_path}/run: another process is using this folder; wait until it has ended\n")]


def test_an_unheld_lock_file_is_ignored(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run").mkdir()
    with file_lock(tmp_path / "run" / ".lock"):
        assert answer(monkeypatch, "train", "--config", config) == 2
    assert answer(monkeypatch, "train", "--config", config) == 0


def test_auto_resume_starts_resumes_and_finishes(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "--config", config, "--auto-resume"]
    with monkeypatch.context() as patch:
        at_step(patch, 5, lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert answer(patch, *command) == 75
    assert "Resuming" not in capsys.readouterr().out
    assert answer(monkeypatch, *command) == 0
    assert "Resuming" in capsys.readouterr().out
    before = metrics(tmp_path / "run" / "metrics.jsonl")
    for again in ([*command], ["train", "--config", config, "--resume"]):
        assert answer(monkeypatch, *again) == 0
        assert "Best validation accuracy" in capsys.readouterr().out
    assert metrics(tmp_path / "run" / "metrics.jsonl") == before


def test_a_closed_pipe_is_not_an_error_of_the_run(config: Path, monkeypatch: pytest.MonkeyPatch,
                                                                capfd: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    """`train --json | head -1` ends like any other program."""
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as pipe, monkeypatch.context() as patch:
        at_step(patch, 2, lambda: patch.setattr(sys, "stdout", pipe))
        assert answer(patch, "train", "--config", config, "--json") == 1
    assert "cannot be written" not in capfd.readouterr().err
