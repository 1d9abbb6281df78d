"""Run one experiment of a study, and determine its outcome."""

import json
import math
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from speakerid import Checkpoint, Config, UserError, train
from speakerid.base.files import atomic_file
from speakerid.training.divergence import LEARNED, Collapsed, Diverged
from speakerid.training.run_directory import RunDirectory

from .grid import Cell
from .probe import Probe

Outcome = Literal["learned", "never learned", "collapsed", "diverged"]
OUTCOMES: dict[Outcome, str] = {
    "learned": f"the training loss fell below {LEARNED:g} ln(speakers), {LEARNED:g} of the loss of guessing",
    "never learned": "the loss did not fall so far",
    "collapsed": "it did, and later returned to the loss of guessing",
    "diverged": "a loss or a gradient was not finite",
}


@dataclass(frozen=True)
class Result:
    """Result of a run.

    Attributes:
        outcome: see `OUTCOMES`.
        step: last step in the log, counted from 1.
        parameters: number of parameters of the model.
        best, final: validation accuracy; None without validation.
        loss: training loss in the last line of the log; None if there is none.
        trace: see `speakerid`'s log lines and `Probe.trace`.
    """

    outcome: Outcome
    step: int
    parameters: int
    best: float | None
    final: float | None
    loss: float | None
    trace: list[dict[str, float]]


def run(cell: Cell, out: Path) -> None:
    """Train one cell from its first step, write its result atomically, and delete its weights.

    Raises:
        UserError: the run cannot start; divergence is a result.
    """
    folder = out / "runs" / cell.name
    shutil.rmtree(folder, ignore_errors=True)  # an unfinished run, whose trace of norms is lost
    result = _train(cell.config.model_copy(update={"run_dir": folder}))
    shutil.rmtree(folder / "checkpoints")
    for name in ("last.pt", "best.pt"):  # gigabytes for a hundred runs
        (folder / name).unlink(missing_ok=True)
    # Written last, since finished runs are skipped: weights left after a kill would stay.
    with atomic_file(_file(cell, out)) as partial:
        partial.write_text(json.dumps(asdict(result)), encoding="utf-8")


def result_of(cell: Cell, out: Path) -> Result | None:
    """Result of a finished run, else None."""
    path = _file(cell, out)
    if not path.exists():
        return None
    try:
        return Result(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: not the result of a run; delete this file to run it again") from error


def _file(cell: Cell, out: Path) -> Path:
    return out / "results" / f"{cell.name}.json"


def _train(config: Config) -> Result:
    probe = Probe(config.train.log_steps)
    failure: BaseException | None = None
    try:
        if train(config, make_model=probe.make_model, style="silent").stopped_by:
            raise KeyboardInterrupt
    except UserError as error:
        failure = error.__context__
        if not isinstance(failure, Diverged):
            raise
    run = RunDirectory(config.run_dir, resume=True)
    log = run.read_log()
    accuracies = [record.accuracy for record in log.valid if record.accuracy is not None]
    losses = [record.loss for record in log.train if record.loss is not None]
    return Result(
        outcome=outcome(failure, lowest_loss(Checkpoint.load(run.last).progress), probe.classes),
        step=log.step,
        parameters=probe.parameters,
        best=max(accuracies, default=None),
        final=accuracies[-1] if accuracies else None,
        loss=losses[-1] if losses else None,
        trace=probe.trace,
    )


def lowest_loss(progress: dict[str, Any]) -> float:
    """Lowest loss of the windows that `Health` has seen, or of the current window if that is lower."""
    present = progress["window_loss"] / progress["window_count"] if progress["window_count"] else math.inf
    return min(progress["lowest"], present)


def outcome(failure: BaseException | None, lowest: float, classes: int) -> Outcome:
    """Outcome of a run.

    Args:
        failure: why it was stopped, if it was.
        lowest: training loss (cross-entropy) of its best window.
        classes: number of classes.
    """
    match failure:
        case Collapsed():
            return "collapsed"
        case Diverged():
            return "diverged"
        case _:
            return "learned" if lowest <= LEARNED * math.log(classes) else "never learned"
