"""The shares of all draws, and those of all conversations, as Markdown."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from .conversations import RIGHT, SAID
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


def timelines(heard: Mapping[str, Sequence[Mapping[bool, Counter[str]]]]) -> str:
    """In per cent, mean over conversations and the 95 % interval of a bootstrap over them.

    Args:
        heard: by the rule, of each conversation what was said of known speakers (True) and of strangers.
    """
    lines = [_row(["said", "known speakers", "strangers"]), "|---|---|---|"]
    for rule, talks in heard.items():
        for said in SAID:
            of_known, of_strangers = (_interval([talk[known] for talk in talks], said) for known in (True, False))
            lines.append(_row([f"{rule}: {said}", of_known, "" if said == RIGHT else of_strangers]))
    return "\n".join(lines)


def _interval(heard: Sequence[Counter[str]], said: str) -> str:
    shares = np.array([100 * one[said] / one.total() for one in heard if one.total()])
    if not len(shares):
        return ""
    drawn = np.random.default_rng(0).integers(len(shares), size=(1000, len(shares)))
    low, high = np.quantile(shares[drawn].mean(1), (0.025, 0.975))
    return f"{shares.mean():.1f} ({low:.1f} to {high:.1f})"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _spread(rows: Sequence[OpenSet], of: Callable[[OpenSet], float]) -> str:
    values = [100 * of(row) for row in rows]
    mean = f"{np.mean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.1f} to {max(values):.1f})"
