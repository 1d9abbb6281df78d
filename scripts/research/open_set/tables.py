"""Write the shares of all draws, and those of all conversations, as Markdown."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from statistics import mean

import numpy as np

from result_tables import cell, markdown
from speakerid.metrics import bootstrap_interval

from .conversations import KNOWN, SAID, STRANGER
from .measuring import SECONDS, Measured, OpenSet


def tables(measured: Sequence[Measured]) -> str:
    """Table of the mean, lowest and highest value over the draws, in percent."""
    rows = [row for one in measured for row in one.open_set]
    head = ["threshold", *(f"{what}, {seconds:g} s" for seconds in SECONDS for what in ("strangers", "speakers"))]
    lines = []
    for name in dict.fromkeys(row.threshold for row in rows):
        cells = []
        for seconds in SECONDS:
            mine = [row for row in rows if row.threshold == name and row.seconds == seconds]
            cells += [_spread(mine, lambda row: row.false_accepts), _spread(mine, lambda row: row.identified)]
        lines.append([name, *cells])
    enrolled = [row for one in measured for row in one.enrollment]
    before, after, new = (np.array([getattr(row, name) for row in enrolled]) for name in ("before", "after", "new"))
    count = enrolled[0].new_speakers
    enrollments = (
        f"{count} enrolled from 3 clips each, whole utterances: {100 * before.mean():.1f} % of those of the trained "
        f"speakers are right before and {100 * after.mean():.1f} % after (largest loss in a draw: "
        f"{100 * (before - after).max():.1f} points), and {100 * new.mean():.1f} % of those of the new speakers."
    )
    return f"{markdown(head, lines)}\n\n{enrollments}"


def shares(talks: Sequence[Mapping[str, Counter[str]]]) -> str:
    """Table of the shares of the time in which known speakers and strangers speak, in percent.

    Args:
        talks: durations for each conversation, see `open_set.conversations.seconds`.
    """
    rows = []
    for said in SAID:
        cells = (
            interval([talk[who][said] / talk[who].total() for talk in talks if talk[who]]) for who in (KNOWN, STRANGER)
        )
        rows.append([said, *cells])
    return markdown(["outcome", KNOWN, STRANGER], rows)


def rates(talks: Sequence[Mapping[str, float]]) -> str:
    """Error rates of conversations by name, in percent of the speech."""
    return "; ".join(f"{name} {interval([talk[name] for talk in talks])}" for name in talks[0])


def interval(shares: Sequence[float]) -> str:
    """Mean over conversations and the 95 % interval of a bootstrap over them, in percent."""
    if not shares:
        return ""
    values = 100 * np.array(shares)
    low, high = bootstrap_interval(lambda drawn: np.average(values, weights=drawn), np.arange(len(values)))
    return cell(float(values.mean()), interval=(float(low), float(high)))


def _spread(rows: Sequence[OpenSet], of: Callable[[OpenSet], float]) -> str:
    values = [100 * of(row) for row in rows]
    return cell(mean(values), interval=(min(values), max(values)) if len(values) > 1 else None)
