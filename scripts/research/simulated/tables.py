"""Tables of results in Markdown: percent, mean over the seeds, and 95 % interval of a bootstrap over the speakers.

Shapes: N test utterances of known speakers and I of strangers, of all seeds together.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from result_tables import DASH, cell, markdown
from speakerid.metrics import Answers as Highest
from speakerid.metrics import bootstrap_interval, open_set_curve
from speakerid.recognition import FALSE_ACCEPTS

from .runs import DURATIONS, Answers

Weights = NDArray[np.floating]
Statistic = Callable[["Pooled", Weights, Weights], float]


@dataclass(frozen=True)
class Spoken:
    """Speakers of the test utterances of one seed: names for N utterances of known speakers and I of strangers."""

    known: Sequence[str]
    strangers: Sequence[str]


@dataclass(frozen=True)
class Pooled:
    """Results of one row at one duration, concatenated over seeds.

    Attributes:
        answers: answers of each seed.
        known: (N,) index of the speaker.
        known_seeds: (N,) index of the seed.
        strangers: (I,) index of the stranger.
        stranger_seeds: (I,) index of the seed.
    """

    answers: Sequence[Answers]
    known: NDArray[np.int64]
    known_seeds: NDArray[np.int64]
    strangers: NDArray[np.int64]
    stranger_seeds: NDArray[np.int64]

    @staticmethod
    def of(answers: Sequence[Answers], spoken: Sequence[Spoken]) -> "Pooled":
        known, strangers = ([getattr(one, part) for one in spoken] for part in ("known", "strangers"))
        return Pooled(answers, *_numbered(known), *_numbered(strangers))

    def column(self, name: str) -> NDArray[np.float64]:
        """(N,) or (I,) values of an attribute of the answers, with booleans as 0 and 1."""
        return np.concatenate([np.asarray(getattr(one, name), np.float64) for one in self.answers])

    def mean(self, values: NDArray[np.float64], weights: Weights) -> float:
        """Mean of (N,) values, averaged over speakers."""
        return float(np.average(values, weights=_even(self.known) * weights))

    def mean_of_strangers(self, values: NDArray[np.float64], weights: Weights) -> float:
        """Mean of (I,) values, averaged over strangers."""
        return float(np.average(values, weights=_even(self.strangers) * weights))


def accuracy(pooled: Pooled, known: Weights, _: Weights) -> float:
    """Macro accuracy of the nearest known speaker."""
    return pooled.mean(pooled.column("right"), known)


def identified(pooled: Pooled, known: Weights, strangers: Weights) -> float:
    """Share of known speakers' utterances identified at the best threshold for these strangers."""
    found = []
    for seed, one in enumerate(pooled.answers):
        mine, theirs = pooled.known_seeds == seed, pooled.stranger_seeds == seed
        weights = (_even(pooled.known) * known)[mine], (_even(pooled.strangers) * strangers)[theirs]
        if weights[0].any() and weights[1].any():
            highest = Highest(np.array(one.known), np.array(one.right), np.array(one.strangers))
            found.append(open_set_curve(highest, *weights).identified_at(FALSE_ACCEPTS))
    return float(np.mean(found)) if found else np.nan


def named_right(pooled: Pooled, known: Weights, _: Weights) -> float:
    """Share of known speakers' utterances identified at the contestant's own threshold."""
    return pooled.mean(pooled.column("right") * pooled.column("named"), known)


def strangers_named(pooled: Pooled, _: Weights, strangers: Weights) -> float:
    """Share of strangers' utterances given a name at the contestant's own threshold."""
    return pooled.mean_of_strangers(pooled.column("strangers_named"), strangers)


def sections(answers: Sequence[Sequence[Answers]], spoken: Sequence[Spoken]) -> Iterator[str]:
    """Yield the tables of a design.

    Args:
        answers: for each seed, all lines of all contestants.
        spoken: speakers of each seed.
    """
    rows: dict[str, dict[str, Pooled]] = {}
    for title in dict.fromkeys(one.title for one in answers[0]):
        for duration in DURATIONS:
            mine = [next(a for a in some if (a.title, a.duration) == (title, duration)) for some in answers]
            rows.setdefault(title, {})[duration] = Pooled.of(mine, spoken)
    yield "Accuracy on all test utterances, without rejection:\n\n" + _table(rows, accuracy)
    if spoken[0].strangers:
        yield f"Identified where {FALSE_ACCEPTS:.0%} of strangers are named (best threshold):\n\n" + _table(
            rows, identified
        )
    own = {title: of_title for title, of_title in rows.items() if of_title["whole"].answers[0].named}
    if own:
        yield f"By the bundle's own thresholds for {FALSE_ACCEPTS:.0%} of strangers named:\n\n" + _promises(own)


def _promises(rows: Mapping[str, Mapping[str, Pooled]]) -> str:
    lines = []
    for title, of_title in rows.items():
        promised = [[one.promised or 0.0 for one in pooled.answers] for pooled in of_title.values()]
        lines.append([title, "expected", *(cell(100 * float(np.mean(some))) for some in promised)])
        lines.append(["", "measured", *(_cell(pooled, named_right) for pooled in of_title.values())])
        if of_title["whole"].answers[0].strangers_named:
            lines.append(["", "strangers named", *(_cell(pooled, strangers_named) for pooled in of_title.values())])
    return markdown(["model", "identified", *DURATIONS], lines)


def _table(rows: Mapping[str, Mapping[str, Pooled]], statistic: Statistic) -> str:
    lines = [[title, *(_cell(one, statistic) for one in of_title.values())] for title, of_title in rows.items()]
    return markdown(["model", *DURATIONS], lines)


def _cell(pooled: Pooled, statistic: Statistic) -> str:
    value = statistic(pooled, np.ones(len(pooled.known)), np.ones(len(pooled.strangers)))
    if np.isnan(value):
        return DASH
    low, high = bootstrap_interval(
        lambda known, strangers: statistic(pooled, known, strangers), pooled.known, pooled.strangers
    )
    return cell(100 * value, interval=(100 * float(low), 100 * float(high)))


def _numbered(names: Sequence[Sequence[str]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of all names, the same for the same name, and indices of their lists."""
    everything = [name for some in names for name in some]
    lists = np.repeat(np.arange(len(names)), [len(some) for some in names])
    return np.unique(np.array(everything, str), return_inverse=True)[1].astype(np.int64), lists


def _even(numbers: NDArray[np.int64]) -> Weights:
    """Weights such that each index counts the same."""
    return 1 / np.bincount(numbers)[numbers] if len(numbers) else np.zeros(0)
