"""The shares of all draws, as Markdown."""

from collections.abc import Callable, Sequence

import numpy as np

from .measuring import SECONDS, Measured, OpenSet


def tables(measured: Sequence[Measured]) -> str:
    """Mean, lowest and highest over the draws, in per cent."""
    rows = [row for one in measured for row in one.open_set]
    head = ["threshold", *(f"{what}, {seconds:g} s" for seconds in SECONDS for what in ("strangers", "speakers"))]
    lines = [_row(head), "|---" * len(head) + "|"]
    for name in dict.fromkeys(row.threshold for row in rows):
        cells = []
        for seconds in SECONDS:
            mine = [row for row in rows if row.threshold == name and row.seconds == seconds]
            cells += [_spread(mine, lambda row: row.false_accepts), _spread(mine, lambda row: row.identified)]
        lines.append(_row([name, *cells]))
    enrolled = [row for one in measured for row in one.enrolment]
    before, after, new = (np.array([getattr(row, name) for row in enrolled]) for name in ("before", "after", "new"))
    count = enrolled[0].new_speakers
    lines += [
        "",
        f"{count} enrolled from 3 clips each, whole utterances: of the trained speakers' {100 * before.mean():.1f} % "
        f"are right before and {100 * after.mean():.1f} % afterwards (the largest loss in a draw: "
        f"{100 * (before - after).max():.1f} points), of the new speakers' {100 * new.mean():.1f} %.",
    ]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _spread(rows: Sequence[OpenSet], of: Callable[[OpenSet], float]) -> str:
    values = [100 * of(row) for row in rows]
    mean = f"{np.mean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.1f} to {max(values):.1f})"
