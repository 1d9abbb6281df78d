"""One run of a study, and what became of it."""

import json
import math
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from speakerid.config import Config
from speakerid.errors import UserError
from speakerid.files import atomic_file
from speakerid.training.checkpoint import Checkpoint
from speakerid.training.health import LEARNED, Collapsed, Diverged
from speakerid.training.run import train
from speakerid.training.run_directory import RunDirectory

from .grid import Cell
from .probe import Probe

Outcome = Literal["learned", "never learned", "collapsed", "diverged"]
OUTCOMES: dict[Outcome, str] = {
    "learned": f"the training loss fell below {LEARNED:g} ln(speakers), {LEARNED:g} of what guessing costs",
    "never learned": "it did not",
    "collapsed": "it did, and was back at that of guessing later",
    "diverged": "a loss or a gradient was not finite",
}


@dataclass(frozen=True)
class Result:
    """What a run came to.

    Attributes:
        outcome: see `OUTCOMES`.
        step: the last of the log, counted from 1.
        parameters: of the whole model.
        best, final: validation accuracy; None where there was no validation.
        loss: in training, over the last line of the log; None where there was none.
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
    """Train one cell from its first step; its result is there at the end, whole, and its weights are not.

    Raises:
        UserError: what keeps a run from starting; that it diverges is a result.
    """
    folder = out / "runs" / cell.name
    shutil.rmtree(folder, ignore_errors=True)  # of half a run, whose trace of norms is lost
    result = _train(cell.config.model_copy(update={"run_dir": folder}))
    shutil.rmtree(folder / "checkpoints")
    for name in ("last.pt", "best.pt"):  # of a hundred runs they are gigabytes
        (folder / name).unlink(missing_ok=True)
    # Last, for a run that has a result is never looked at again: weights that a kill left would stay.
    with atomic_file(_file(cell, out)) as partial:
        partial.write_text(json.dumps(asdict(result)), encoding="utf-8")


def result_of(cell: Cell, out: Path) -> Result | None:
    """Of a run that has ended, else None."""
    path = _file(cell, out)
    if not path.exists():
        return None
    try:
        return Result(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: found no result of a run; delete this file, and it runs again") from error


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
    records = run.records()
    accuracies: list[float] = [record["accuracy"] for record in records if record["part"] == "valid"]
    losses: list[float] = [record["loss"] for record in records if record["part"] == "train"]
    return Result(
        outcome=outcome(failure, lowest_loss(Checkpoint.load(run.last).progress), probe.classes),
        step=records[-1]["step"],
        parameters=probe.parameters,
        best=max(accuracies, default=None),
        final=accuracies[-1] if accuracies else None,
        loss=losses[-1] if losses else None,
        trace=probe.trace,
    )


def lowest_loss(progress: dict[str, Any]) -> float:
    """Of the windows that `Health` has looked at, or of the present one where it is lower."""
    present = progress["window_loss"] / progress["window_count"] if progress["window_count"] else math.inf
    return min(progress["lowest"], present)


def outcome(failure: BaseException | None, lowest: float, classes: int) -> Outcome:
    """What became of a run.

    Args:
        failure: why it was given up, if it was.
        lowest: training loss (cross-entropy) of its best window.
        classes: of the classifier.
    """
    match failure:
        case Collapsed():
            return "collapsed"
        case Diverged():
            return "diverged"
        case _:
            return "learned" if lowest <= LEARNED * math.log(classes) else "never learned"
