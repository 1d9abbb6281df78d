"""Runs below a folder: their models, progress, accuracy, and whether they are still running.

A run is a folder with metrics.jsonl. It is read leniently and without torch: runs of another version or with damaged
files are listed with what can be read.
"""

import difflib
import errno
import math
import os
import shlex
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from speakerid.base.errors import UserError
from speakerid.base.files import StrPath
from speakerid.base.printing import printable
from speakerid.config import read_yaml
from speakerid.training.metrics_log import METRICS, Log, read_log

RECENT_SECONDS = 300.0
"""Time without output after which a running process is called silent: its validation is long, or it hangs."""

State = Literal["running", "silent", "finished", "stopped", "diverged", "unknown"]


@dataclass(frozen=True)
class Run:
    """Summary of a run; unknown values are None."""

    name: str
    """Path of the run relative to the searched folder."""
    path: Path
    encoder: str | None
    classifier: str | None
    step: int | None
    total_steps: int | None
    best_accuracy: float | None
    """Best validation accuracy."""
    best_step: int | None
    loss: float | None
    """Last training loss."""
    steps_per_second: float | None
    age_seconds: float | None
    """Time since the last line was written."""
    state: State
    rollbacks: int
    resume: str | None
    """Command that resumes the run, if it stopped and left a checkpoint."""
    problems: tuple[str, ...]
    """A line for each damaged or missing file."""


def find_runs(folder: StrPath, names: Sequence[str] = ()) -> tuple[list[Path], list[str]]:
    """Find the folders of all runs below a folder, or of the named ones.

    Args:
        folder: searched to any depth, but not inside runs; symbolic links are not followed.
        names: names of runs, relative to `folder` or as paths.

    Returns:
        The folders, and a line for each subfolder that cannot be read.

    Raises:
        UserError: the folder does not exist or contains no run, or a name is unknown.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; expected one that holds runs")
    found: list[Path] = []
    unreadable: list[OSError] = []
    for path, folders, files in os.walk(folder, onerror=unreadable.append):
        if METRICS in files:
            found.append(Path(path))
            folders.clear()
    problems = [f"{error.filename}: cannot be read: {error.strerror}" for error in unreadable]
    if not found:
        reason = "; ".join([f"contains no run, that is, no folder with {METRICS}", *problems])
        raise UserError(f"{folder}: {reason}; `speakerid train` writes one to run_dir")
    return (_named(found, folder, names) if names else found), problems


def _named(found: list[Path], folder: Path, names: Sequence[str]) -> list[Path]:
    by_name = {str(path): path for path in found}
    for path in found:
        name = str(path.relative_to(folder))
        by_name |= {printable(name): path, name: path}
    chosen = {}
    for name in names:
        path = by_name.get(os.path.normpath(name))
        if path is None:
            near = difflib.get_close_matches(name, by_name, n=1)
            advice = f"did you mean {near[0]!r}?" if near else f"`speakerid runs {folder}` lists them"
            raise UserError(f"{folder}: contains no run {name!r}; {advice}")
        chosen[path] = None
    return list(chosen)


def read_run(path: StrPath, folder: StrPath) -> Run:
    """Read the run at `path`, found below `folder`."""
    path = Path(path)
    problems: list[str] = []
    config: dict[str, Any] = {}
    log = age = None
    locked = False
    try:
        config = read_yaml(path / "config.yaml")
    except UserError as error:
        problems.append(str(error))
    try:
        log = read_log(path)
        locked = _is_held(path / ".lock")
        age = max(0.0, time.time() - (path / METRICS).stat().st_mtime)
    except OSError as error:
        problems.append(f"{error.filename or path}: cannot be read: {error.strerror}")
    except UserError as error:
        problems.append(f"{path / METRICS}: cannot be read: {error}")
    if log and log.damaged:
        problems.append(f"{path / METRICS}: damaged lines left out: {len(log.damaged)}")
    total = _setting(config, "train.total_steps", int)
    if config and total is None:
        problems.append(f"{path / 'config.yaml'}: train.total_steps: expected a number of steps")
    state = _state(log, age, locked, total)
    best = next(iter(log.ranked), None) if log else None
    last = next(reversed(log.train), None) if log else None
    return Run(
        name=str(path.relative_to(folder)),
        path=path,
        encoder=_setting(config, "model.encoder.kind", str),
        classifier=_setting(config, "model.classifier", str) or _setting(config, "model.classifier.kind", str),
        step=log.step if log else None,
        total_steps=total,
        best_accuracy=best.accuracy if best else None,
        best_step=best.step if best else None,
        loss=last.loss if last else None,
        steps_per_second=last.steps_per_second if last else None,
        age_seconds=age,
        state=state,
        rollbacks=log.rollbacks if log else 0,
        resume=_resume_command(path, config) if state == "stopped" and _has_checkpoint(path) else None,
        problems=tuple(problems),
    )


def _is_held(lock: Path) -> bool:
    """Whether a process holds the lock of a run, see `speakerid.base.locks.file_lock`; changes nothing."""
    try:
        import fcntl
    except ImportError:  # Windows, where it is not known
        return False
    try:
        # Non-blocking, since opening a named pipe would block.
        handle = os.open(lock, os.O_RDONLY | os.O_NONBLOCK)
        try:
            if stat.S_ISDIR(os.fstat(handle).st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(lock))
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        finally:
            os.close(handle)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _state(log: Log | None, age: float | None, locked: bool, total: int | None) -> State:
    if log is None or age is None:
        return "unknown"
    if locked:
        return "running" if age < RECENT_SECONDS else "silent"
    if total is None:
        return "unknown"
    if log.given_up:
        return "diverged"
    # Not by the last training line: a run that was killed in its last validation has to repeat it.
    return "finished" if any(record.step >= total for record in log.valid) else "stopped"


def _setting(config: dict[str, Any], name: str, kind: type) -> Any:
    """Value of a setting by its dotted name, None if it is missing or has another type."""
    value: Any = config
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value if type(value) is kind else None


def _has_checkpoint(path: Path) -> bool:
    return (path / "last.pt").exists() or any((path / "checkpoints").glob("[0-9]*.pt"))


def _resume_command(path: Path, config: dict[str, Any]) -> str:
    arguments = ["--config", str(path / "config.yaml"), "--resume"]
    run_dir = _setting(config, "run_dir", str)
    if run_dir is None or os.path.realpath(run_dir) != os.path.realpath(path):  # moved, or relative to another folder
        arguments.append(f"run_dir={path}")
    return "speakerid train " + shlex.join(arguments)


def best_first(run: Run) -> tuple[float, str]:
    """Sort key of runs: the best accuracy first, those without one last, ties broken by name."""
    return (math.inf if run.best_accuracy is None else -run.best_accuracy), run.name
