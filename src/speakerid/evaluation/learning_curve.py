"""Measure how accuracy grows with the days and the recordings of each speaker.

A day is a recording session. Subsets of the recordings are drawn repeatedly; a classifier is fitted to each and tested
on a day of every speaker that is in none of the subsets of its draw. If speakers have one day only, the test is the end
of that day, and accuracy on other days cannot be measured.

Shapes: N recordings, D features, S speakers, A amounts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speakerid.base.errors import UserError
from speakerid.evaluation.linear_classifier import fit_linear

DRAWS = 20
"""Number of draws of subsets."""
ENOUGH = 2 / 3
"""Share of the speakers that must have as many days as are used; speakers with fewer are left out."""
TEST_SHARE = 0.3
"""Share of a speaker's recordings that are tested on if there is one day."""
MOST_TESTED = 20
"""Largest number of recordings of a day to test on."""
STEPS = (1, 2, 3, 5, 8, 12, 20, 30, 50, 80)
"""Numbers of recordings per day that are tried, and the largest there is."""


@dataclass(frozen=True)
class Amount:
    """Amount of recordings of each speaker."""

    days: int
    each: float
    """Number of recordings per day; of a plan, not always whole."""


@dataclass(frozen=True)
class Recordings:
    """Recordings of a corpus.

    Attributes:
        features: (N, D), fixed, such as statistics of the spectrum or voice prints.
        speakers: (N,) speakers.
        sessions: (N,) sessions, unique among all speakers; the recordings of a speaker with unknown sessions are one.
        seconds: (N,) durations.
    """

    features: NDArray[np.float64]
    speakers: NDArray[np.integer]
    sessions: NDArray[np.integer]
    seconds: NDArray[np.float64]


@dataclass(frozen=True)
class LearningCurve:
    """Measured accuracies.

    Attributes:
        amounts: A amounts.
        hits: (A, S) share of each speaker's tested recordings that are identified.
        tested: number of recordings tested in all draws, for each amount.
        most: all there is of a speaker: every day, and the median number of recordings per day.
        speakers: S speakers.
        left_out: number of speakers with fewer days.
        recording_seconds: mean duration of a recording.
    """

    amounts: Sequence[Amount]
    hits: NDArray[np.float64]
    tested: int
    most: Amount
    speakers: NDArray[np.integer]
    left_out: int
    recording_seconds: float

    @property
    def other_days(self) -> bool:
        """Whether days were tested on that the classifiers had not been trained on."""
        return self.most.days > 1

    def until(self, days: int, each: float) -> LearningCurve:
        """The part of the curve up to an amount, to predict the rest from."""
        rows = [row for row, amount in enumerate(self.amounts) if amount.days <= days and amount.each <= each]
        most = Amount(days, max(self.amounts[row].each for row in rows))
        return LearningCurve(
            [self.amounts[row] for row in rows], self.hits[rows], self.tested, most, self.speakers, self.left_out,
            self.recording_seconds,
        )  # fmt: skip


def measure(
    recordings: Recordings, draws: int = DRAWS, seed: int = 0, advance: Callable[[], None] = lambda: None
) -> LearningCurve:
    """Measure a learning curve.

    Args:
        recordings: of at least two speakers.
        draws: number of draws.
        seed: seed of the draws.
        advance: called after each draw.

    Raises:
        UserError: there are too few speakers, or too few recordings of them.
    """
    of_speaker = {int(speaker): _days(recordings, int(speaker)) for speaker in np.unique(recordings.speakers)}
    days = _common(sorted(len(found) for found in of_speaker.values()))
    chosen = {speaker: found for speaker, found in of_speaker.items() if len(found) >= days}
    sizes = [len(day) for found in chosen.values() for day in found]
    there_is = int(np.median(sizes))
    most = there_is if days > 1 else int(there_is * (1 - TEST_SHARE))
    if len(chosen) < 2 or most < 1 or most * days < 2:
        raise UserError(
            f"found {len(chosen)} speakers with {days} days of {most} recordings to learn from, expected 2 speakers "
            "with 2 recordings at least; record more, or prepare without --test-fraction"
        )
    each = [*(step for step in STEPS if step < most), most]
    amounts = [Amount(k, n) for k in range(1, max(2, days)) for n in each]
    hits = np.zeros((len(amounts), len(chosen)))
    rng, tested = np.random.default_rng(seed), 0
    for _ in range(draws):
        train, test = _drawn(list(chosen.values()), days, rng)
        tested += sum(map(len, test))
        for row, amount in enumerate(amounts):
            rows = np.concatenate([day[: int(amount.each)] for found in train for day in found[: amount.days]])
            hits[row] += _shares(recordings, rows, test) / draws
        advance()
    seconds = float(recordings.seconds[np.isin(recordings.speakers, list(chosen))].mean())
    left_out = len(of_speaker) - len(chosen)
    return LearningCurve(amounts, hits, tested, Amount(days, there_is), np.array(list(chosen)), left_out, seconds)


def _days(recordings: Recordings, speaker: int) -> list[NDArray[np.int64]]:
    """Rows of the recordings of each day of a speaker."""
    rows = np.flatnonzero(recordings.speakers == speaker)
    return [rows[recordings.sessions[rows] == session] for session in np.unique(recordings.sessions[rows])]


def _common(days: Sequence[int]) -> int:
    """Largest number of days that enough speakers have; ascending numbers of days are given."""
    needed = max(2, int(np.ceil(ENOUGH * len(days))))
    return days[-needed] if len(days) >= needed else days[0]


def _drawn(
    speakers: Sequence[list[NDArray[np.int64]]], days: int, rng: np.random.Generator
) -> tuple[list[list[NDArray[np.int64]]], list[NDArray[np.int64]]]:
    """Days to train on in random order, with their recordings in random order, and recordings to test on."""
    if days == 1:
        ends = [round(len(found[0]) * (1 - TEST_SHARE)) for found in speakers]
        train = [[rng.permutation(found[0][:end])] for found, end in zip(speakers, ends, strict=True)]
        return train, [found[0][end:][:MOST_TESTED] for found, end in zip(speakers, ends, strict=True)]
    train, test = [], []
    for found in speakers:
        first, *others = (rng.permutation(found[index]) for index in rng.permutation(len(found))[:days])
        test.append(first[:MOST_TESTED])
        train.append(others)
    return train, test


def _shares(recordings: Recordings, train: NDArray[np.int64], test: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
    """(S,) share of each speaker's recordings that is identified."""
    labels, sessions = recordings.speakers[train], recordings.sessions[train]
    model, shrinkage = fit_linear(recordings.features[train], labels, sessions=sessions)
    rows = np.concatenate(test)
    right = model.predict(recordings.features[rows], shrinkage) == recordings.speakers[rows]
    ends = np.cumsum([len(some) for some in test])
    return np.array([some.mean() for some in np.split(right, ends[:-1])])
