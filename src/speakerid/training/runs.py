"""The runs below a folder: what each is, how far and how good it got, and whether it is still at work.

A run is a folder with metrics.jsonl. It is read leniently and without torch: one of another version, or with damaged
files, is listed with what can be read of it.
"""

import difflib
import errno
import fcntl
import math
import os
import shlex
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from speakerid.config import read_yaml
from speakerid.errors import UserError
from speakerid.printing import printable
from speakerid.training.metrics_log import METRICS, Record, read_lines

RECENT_SECONDS = 300.0
"""A run at work that has written nothing for longer is called silent: its validation is long, or it hangs."""

State = Literal["running", "silent", "finished", "stopped", "diverged", "unknown"]


@dataclass(frozen=True)
class Log:
    """What metrics.jsonl tells. Lines that a rollback undid are left out, so that steps never fall."""

    step: int
    """Of the last line; 0 where there is none."""
    train: list[Record]
    valid: list[Record]
    rollbacks: int
    given_up: bool
    """Whether it ended because it diverged."""
    damaged: int
    """Lines that cannot be read. A torn last one is none of them: a run that is killed leaves one."""

    @property
    def best(self) -> Record | None:
        """The validation in best.pt: the best accuracy, ties broken by loss."""
        return max((r for r in self.valid if r.rank), key=lambda r: r.rank or (), default=None)


@dataclass(frozen=True)
class Run:
    """A run as it is listed; None where nothing is known."""

    name: str
    """The folder relative to the one that was searched."""
    path: Path
    encoder: str | None
    classifier: str | None
    step: int | None
    total_steps: int | None
    best_accuracy: float | None
    """On the validation part."""
    best_step: int | None
    loss: float | None
    """The last on the training part."""
    steps_per_second: float | None
    age_seconds: float | None
    """Since the last line was written."""
    state: State
    rollbacks: int
    resume: str | None
    """The command that goes on with it, where it stopped and left a checkpoint."""
    problems: tuple[str, ...]
    """One line for each file that is damaged or missing."""


def find_runs(folder: Path, names: Sequence[str] = ()) -> tuple[list[Path], list[str]]:
    """The folders of all runs below a folder, or of those named, and one line for each subfolder that cannot be read.

    Args:
        folder: searched to any depth, but not inside of runs; symbolic links are not followed.
        names: of runs, relative to `folder` or as paths.

    Raises:
        UserError: there is no such folder, no run in it, or none of a name.
    """
    if not os.path.isdir(folder):
        raise UserError(f"{folder}: no such folder; expected one that holds runs")
    found: list[Path] = []
    unreadable: list[OSError] = []
    for path, folders, files in os.walk(folder, onerror=unreadable.append):
        if METRICS in files:
            found.append(Path(path))
            folders.clear()
    problems = [f"{error.filename}: cannot be read: {error.strerror}" for error in unreadable]
    if not found:
        reason = "; ".join([f"no run below it, that is, no folder with {METRICS}", *problems])
        raise UserError(f"{folder}: {reason}; scripts/train.py writes one to run_dir")
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
            raise UserError(f"{folder}: no run {name!r} below it; {advice}")
        chosen[path] = None
    return list(chosen)


def read_run(path: Path, folder: Path) -> Run:
    """The run at `path`, found below `folder`."""
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
        problems.append(f"{path / METRICS}: damaged lines left out: {log.damaged}")
    total = _setting(config, "train.total_steps", int)
    if config and total is None:
        problems.append(f"{path / 'config.yaml'}: train.total_steps: no number of steps")
    state = _state(log, age, locked, total)
    best = log.best if log else None
    last = log.train[-1] if log and log.train else None
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


def read_log(path: Path) -> Log:
    """What metrics.jsonl of the run at `path` tells.

    Raises:
        OSError: it cannot be read.
        UserError: it is not a regular file; the message does not name it.
    """
    kept: list[Record] = []
    step = rollbacks = damaged = 0
    given_up = False
    for line in read_lines(path / METRICS):
        record = line.record
        if record is None:
            damaged += 1
            continue
        if record.part not in ("train", "valid", "rollback", "given up"):
            continue
        given_up = record.part == "given up"
        step = record.step
        while kept and kept[-1].step > step:
            kept.pop()
        if record.part == "rollback":
            rollbacks += 1
        elif not given_up:
            kept.append(record)
    train, valid = ([record for record in kept if record.part == part] for part in ("train", "valid"))
    return Log(step, train, valid, rollbacks, given_up, damaged)


def _is_held(lock: Path) -> bool:
    """Whether a process holds the lock of a run, see `speakerid.files.sole_user`; leaves no trace."""
    try:
        # Without waiting: opening a named pipe blocks otherwise.
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
    # Not by the last line of training: a run that was killed in its last validation has that to do again.
    return "finished" if log.valid and log.valid[-1].step >= total else "stopped"


def _setting(config: dict[str, Any], name: str, kind: type) -> Any:
    """The setting of a dotted name, or None where there is none of this type."""
    value: Any = config
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value if type(value) is kind else None


def _has_checkpoint(path: Path) -> bool:
    return (path / "last.pt").exists() or any((path / "checkpoints").glob("[0-9]*.pt"))


def _resume_command(path: Path, config: dict[str, Any]) -> str:
    arguments = ["--config", str(path / "config.yaml"), "--resume"]
    run_dir = _setting(config, "run_dir", str)
    if run_dir is None or os.path.realpath(run_dir) != os.path.realpath(path):  # it was moved, or begun elsewhere
        arguments.append(f"run_dir={path}")
    return "python scripts/train.py " + shlex.join(arguments)


def best_first(run: Run) -> tuple[float, str]:
    """Key to sort runs by: the best accuracy first, those without one last, equal ones by name."""
    return (math.inf if run.best_accuracy is None else -run.best_accuracy), run.name
