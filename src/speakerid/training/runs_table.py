"""Runs as text: a table, or a line of JSON for each."""

import dataclasses
import json
import math
from collections.abc import Sequence

from speakerid.base.printing import counted, printable
from speakerid.training.runs import Run


def listing(runs: Sequence[Run]) -> str:
    """Table with a line per run, then the commands to resume those that stopped, then what could not be read."""
    rows = [_COLUMNS, *map(_cells, runs)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    left = {column for column, name in enumerate(_COLUMNS) if name in ("run", "encoder", "classifier", "state")}
    lines = [
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    stopped = [run for run in runs if run.state == "stopped"]
    if stopped:
        lines += ["", *map(_resume_hint, stopped)]
    problems = [problem for run in runs for problem in run.problems]
    if problems:
        lines += ["", *map(printable, problems)]
    return "\n".join(lines)


_COLUMNS = ("run", "encoder", "classifier", "step", "best", "at step", "loss", "step/s", "age", "state")


def _cells(run: Run) -> tuple[str, ...]:
    step, total = ("–" if steps is None else f"{steps:,}" for steps in (run.step, run.total_steps))
    return (
        printable(run.name),
        printable(run.encoder or "–"),
        printable(run.classifier or "–"),
        f"{step}/{total}",
        "–" if run.best_accuracy is None else f"{run.best_accuracy:.4f}",
        "–" if run.best_step is None else f"{run.best_step:,}",
        "–" if run.loss is None else f"{run.loss:#.3g}",
        "–" if run.steps_per_second is None else f"{run.steps_per_second:.3g}",
        "–" if run.age_seconds is None else _duration(run.age_seconds),
        run.state + (f", {counted(run.rollbacks, 'rollback')}" if run.rollbacks else ""),
    )


def _resume_hint(run: Run) -> str:
    name = printable(run.name)
    if run.resume is None:
        return f"{name} stopped at step {run.step:,} without a checkpoint to resume from"
    if not run.resume.isprintable():
        return f"{name} stopped at step {run.step:,}; give its folder a printable name to resume it"
    return f"{name} stopped at step {run.step:,}; resume with: {run.resume}"


def _duration(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def json_line(run: Run) -> str:
    """A run as a JSON object with the fields of `Run`; values that are not finite become null."""
    fields = dataclasses.asdict(run) | {"path": str(run.path)}
    for name, value in fields.items():
        if isinstance(value, float) and not math.isfinite(value):
            fields[name] = None
    return json.dumps(fields)
