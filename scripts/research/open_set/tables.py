"""Write the shares of all draws, and those of all conversations, as Markdown."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from .conversations import KNOWN, SAID, STRANGER
from .measuring import SECONDS, Measured, OpenSet


def tables(measured: Sequence[Measured]) -> str:
    """Table of the mean, lowest and highest value over the draws, in percent."""
    rows = [row for one in measured for row in one.open_set]
    head = ["threshold", *(f"{what}, {seconds:g} s" for seconds in SECONDS for what in ("strangers", "speakers"))]
    lines = [_row(head), "|---" * len(head) + "|"]
    for name in dict.fromkeys(row.threshold for row in rows):
        cells = []
        for seconds in SECONDS:
            mine = [row for row in rows if row.threshold == name and row.seconds == seconds]
            cells += [_spread(mine, lambda row: row.false_accepts), _spread(mine, lambda row: row.identified)]
        lines.append(_row([name, *cells]))
    enrolled = [row for one in measured for row in one.enrollment]
    before, after, new = (np.array([getattr(row, name) for row in enrolled]) for name in ("before", "after", "new"))
    count = enrolled[0].new_speakers
    lines += [
        "",
        f"{count} enrolled from 3 clips each, whole utterances: {100 * before.mean():.1f} % of those of the trained "
        f"speakers are right before and {100 * after.mean():.1f} % after (largest loss in a draw: "
        f"{100 * (before - after).max():.1f} points), and {100 * new.mean():.1f} % of those of the new speakers.",
    ]
    return "\n".join(lines)


def shares(talks: Sequence[Mapping[str, Counter[str]]]) -> str:
    """Table of the shares of the time in which known speakers and strangers speak, in percent.

    Args:
        talks: durations for each conversation, see `open_set.conversations.seconds`.
    """
    lines = [_row(["outcome", KNOWN, STRANGER]), "|---|---|---|"]
    for said in SAID:
        cells = (
            _interval([talk[who][said] / talk[who].total() for talk in talks if talk[who]]) for who in (KNOWN, STRANGER)
        )
        lines.append(_row([said, *cells]))
    return "\n".join(lines)


def rates(talks: Sequence[Mapping[str, float]]) -> str:
    """Error rates of conversations by name, in percent of the speech."""
    return "; ".join(f"{name} {_interval([talk[name] for talk in talks])}" for name in talks[0])


def _interval(shares: Sequence[float]) -> str:
    """Mean over conversations and the 95 % interval of a bootstrap over them, in percent."""
    if not shares:
        return ""
    values = 100 * np.array(shares)
    drawn = np.random.default_rng(0).integers(len(values), size=(1000, len(values)))
    low, high = np.quantile(values[drawn].mean(1), (0.025, 0.975))
    return f"{values.mean():.1f} ({low:.1f} to {high:.1f})"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _spread(rows: Sequence[OpenSet], of: Callable[[OpenSet], float]) -> str:
    values = [100 * of(row) for row in rows]
    mean = f"{np.mean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.1f} to {max(values):.1f})"
