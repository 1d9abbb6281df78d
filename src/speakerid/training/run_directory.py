"""Folder of a run: settings, metrics, TensorBoard scalars, curves, checkpoints."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from speakerid.base.errors import UserError
from speakerid.base.files import StrPath, atomic_file, remove_partials
from speakerid.base.locks import file_lock
from speakerid.config import Config
from speakerid.training.checkpoint import Checkpoint
from speakerid.training.metrics_log import METRICS, Log, Record, rank, read_log
from speakerid.training.run_state import RunState
from speakerid.training.runs_plot import plot_runs

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class RunDirectory:
    """Folder of a run.

    `checkpoints/` holds the newest and the best checkpoints, each named by its step; `last.pt` and `best.pt` are hard
    links to two of them.

    Args:
        path: the folder.
        resume: continue the run in the folder.
        keep_last: number of newest checkpoints to keep.
        keep_best: number of best checkpoints to keep.

    Raises:
        UserError: the folder holds a run and `resume` is false, or there is no run to resume.
    """

    def __init__(self, path: StrPath, resume: bool, keep_last: int = 1, keep_best: int = 1) -> None:
        self.path = path = Path(path)
        self.best = path / "best.pt"
        self.last = path / "last.pt"
        self.metrics = path / METRICS
        self.curves = path / "curves.png"
        self._keep_last, self._keep_best = keep_last, keep_best
        self._board: SummaryWriter | None = None
        self._first_step: int | None = None
        self._resume = resume
        self._check()

    def _check(self) -> None:
        if self._resume and not self._candidates():
            raise UserError(f"{self.last}: no such checkpoint to resume from; start the run without --resume")
        if not self._resume and (self._candidates() or self.read_log().lines):
            raise UserError(
                f"{self.path}: already holds a run; continue it with --resume, choose another run_dir, or delete the "
                "folder"
            )

    @staticmethod
    def holds_a_run(path: StrPath) -> bool:
        """Whether there is a checkpoint to resume from."""
        return bool(_steps(Path(path) / "checkpoints")) or (Path(path) / "last.pt").exists()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from writing to the folder while the block runs.

        The checks of the constructor are repeated, since a run that held the lock may have ended in the meantime.

        Raises:
            UserError: another process trains in this folder, it cannot be written, or it holds a run by now.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with file_lock(self.path / ".lock"):
                self._check()
                yield
        except BrokenPipeError:  # from stdout, when its reader has exited
            raise
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written: {error.strerror or error}") from error

    def begin(self, config: Config, state: RunState) -> None:
        """Write the settings and prepare to log from a state on; anything later from an interrupted run is removed.

        Args:
            config: settings of the run.
            state: state of the run; it has a checkpoint unless no step is done.
        """
        for folder in (self.path, self._folder):
            remove_partials(folder)
        for later in _steps(self._folder):
            if later > state.step:
                self._file(later).unlink()
        # Damaged lines are kept: the user may want to repair them.
        kept = [line.text for line in self.read_log().lines if line.record is None or _is_before(line.record, state)]
        with atomic_file(self.path / "config.yaml") as partial:
            partial.write_text(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False), encoding="utf-8")
        with atomic_file(self.metrics) as partial:
            partial.write_bytes(b"".join(line + b"\n" for line in kept))
        if self._file(state.step).exists():  # the process may have been killed before it linked last.pt
            _link(self._file(state.step), self.last)
        self._link_best(state.step)
        self._remove_superseded()
        self.close()
        self._board, self._first_step = None, state.step + 1

    def log(self, part: str, step: int, **scalars: float | str) -> dict[str, Any]:
        """Write a line of metrics.jsonl and the same scalars to TensorBoard; returns the record."""
        record = {"step": step, "part": part, **scalars}
        try:
            with self.metrics.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        except OSError as error:
            raise UserError(
                f"{self.metrics}: cannot be written: {error.strerror}; free disk space, then continue with --resume"
            ) from error
        for name, value in scalars.items():
            if not isinstance(value, str):
                self._tensorboard().add_scalar(f"{part}/{name}", value, step)
        return record

    def _tensorboard(self) -> "SummaryWriter":
        """Writer of this run's scalars, opened on first use; those of an interrupted run from then on are hidden."""
        if self._board is None:
            from torch.utils.tensorboard import SummaryWriter  # slow to import, and the first step does not need it

            assert self._first_step is not None, "begin was not called"
            self._board = SummaryWriter(str(self.path / "tensorboard"), purge_step=self._first_step)
        return self._board

    def read_log(self) -> Log:
        """Read metrics.jsonl; empty if there is none.

        Raises:
            UserError: it cannot be read.
        """
        try:
            return read_log(self.path)
        except FileNotFoundError:
            return Log([], [])
        except NotADirectoryError as error:
            raise UserError(f"{self.path}: found a file, expected a folder or a new name") from error
        except OSError as error:
            raise UserError(f"{self.metrics}: cannot be read: {error.strerror}") from error
        except UserError as error:
            raise UserError(f"{self.metrics}: cannot be read: {error}") from error

    def save(self, checkpoint: Checkpoint, is_best: bool) -> None:
        """Write a checkpoint as last.pt, and as best.pt if it is the best; then remove those not to keep."""
        path = self._file(checkpoint.step)
        try:
            checkpoint.save(path)
            _link(path, self.last)
            if is_best:
                _link(path, self.best)
        except UserError as error:
            raise UserError(f"{error}; free disk space, then continue with --resume") from error
        self._remove_superseded()

    def newest(self) -> tuple[Checkpoint, list[str]]:
        """The newest intact checkpoint, and a line for each newer one that is damaged and for a damaged log.

        Raises:
            UserError: there is no intact checkpoint.
        """
        damaged: list[str] = []
        for path in self._candidates():
            try:
                checkpoint = Checkpoint.load(path)
            except UserError as error:
                damaged.append(str(error))
                continue
            return checkpoint, damaged + self._log_damage()
        raise UserError("; ".join(damaged) or f"{self.last}: no such checkpoint")

    def good_checkpoint(self, validated: bool) -> Checkpoint:
        """Checkpoint to which a run that diverged or collapsed can return.

        Args:
            validated: return the best checkpoint, or the oldest if there is no best, since the newest may have
                collapsed too; if false, the newest.
        """
        if not validated:
            return self.newest()[0]
        return Checkpoint.load(self.best if self.best.exists() else self._candidates()[-1])

    def kept(self) -> dict[int, Path]:
        """Paths of the checkpoints in `checkpoints/` by step, in ascending order."""
        return {step: self._file(step) for step in _steps(self._folder)}

    def _candidates(self) -> list[Path]:
        """Checkpoints from the newest to the oldest."""
        named = [path for path in (self.last, self.best) if path.exists()]
        return [*self.kept().values()][::-1] or named

    def _remove_superseded(self) -> None:
        """Remove all checkpoints except the newest and the best."""
        steps = _steps(self._folder)
        best = [record.step for record in self.read_log().ranked if record.step in steps]
        for step in {*steps} - {*steps[-self._keep_last :]} - {*best[: self._keep_best]}:
            self._file(step).unlink()

    def _link_best(self, step: int) -> None:
        """Link best.pt to the best checkpoint up to `step`, unless it is a better one that is missing from the log."""
        best = next(iter(self.read_log().ranked), None)
        if best is None or best.rank is None or not self._file(best.step).exists():
            return
        try:
            former = Checkpoint.load(self.best)
        except UserError:
            former = None
        if former and former.step <= step and former.accuracy is not None:
            loss = former.best_loss if former.accuracy == former.best_accuracy else None
            if rank(former.accuracy, loss) > best.rank:
                return
        _link(self._file(best.step), self.best)

    def _log_damage(self) -> list[str]:
        """A line about the damaged lines of the log, if there are any."""
        damaged = self.read_log().damaged
        if not damaged:
            return []
        return [
            f"{self.metrics}: damaged lines: {len(damaged)}, the first is line {damaged[0]}; they are left in the file"
        ]

    @property
    def _folder(self) -> Path:
        return self.path / "checkpoints"

    def _file(self, step: int) -> Path:
        return self._folder / f"{step:08}.pt"

    def draw_curves(self) -> None:
        """Plot loss and accuracy over the steps."""
        plot_runs({self.path.absolute().name: self.read_log()}, self.path.parent, self.curves)

    def close(self) -> None:
        """Flush TensorBoard's buffer."""
        if self._board:
            self._board.close()


def _is_before(record: Record, state: RunState) -> bool:
    """Whether a line of the log is no later than this state of the run."""
    if record.part == "rollback" and record.rollbacks is not None:
        return record.rollbacks <= state.rollbacks
    return record.step <= (state.validated if record.part == "valid" else state.step)


def _steps(folder: Path) -> list[int]:
    return sorted(int(path.stem) for path in folder.glob("[0-9]*.pt") if path.stem.isdecimal())


def _link(path: Path, name: Path) -> None:
    """Atomically make `name` a hard link to the file, or a copy if the file system has no hard links."""
    with atomic_file(name) as partial:
        partial.unlink(missing_ok=True)
        try:
            os.link(path, partial)
        except OSError:
            shutil.copyfile(path, partial)
