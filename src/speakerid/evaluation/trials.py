"""Verification trials: pairs of utterances, and whether one speaker said both.

Shapes: T trials, N utterances.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speakerid.corpus.records import UNKNOWN, Utterances

LARGEST = 2_000
"""Utterances of a speaker among which pairs are looked for, so that there are not too many pairs."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Trials of utterances by their places."""

    enrolment: NDArray[np.int64]
    """(T,)"""
    test: NDArray[np.int64]
    """(T,)"""
    targets: NDArray[np.bool_]
    """(T,) whether one speaker said both."""


def draw_pairs(utterances: Utterances, per_speaker: int, seed: int = 0) -> Pairs:
    """Trials of utterances whose speakers are known; as many non-target as target ones of every speaker enrolled.

    Target trials are of two sessions wherever a speaker has two known ones; for two utterances of one session are
    alike in more than the voice. Augmented copies are left out.

    Args:
        utterances: N of them; those of unknown speakers are left out.
        per_speaker: target trials of each speaker, fewer where there are not as many pairs.
        seed: the same trials for the same seed.
    """
    rng = np.random.default_rng(seed)
    rows = np.flatnonzero((utterances.speakers != UNKNOWN) & (utterances.origins == np.arange(len(utterances))))
    speakers = utterances.speakers[rows]
    parts: list[NDArray[np.integer]] = [np.empty((0, 3), np.int64)]
    for speaker in np.unique(speakers):
        own, others = rows[speakers == speaker], rows[speakers != speaker]
        first, second = _same_speaker(utterances, rng.permutation(own)[:LARGEST])
        count = min(per_speaker, len(first), len(own) * len(others))
        chosen = rng.choice(len(first), count, replace=False)
        mixed = rng.choice(len(own) * len(others), count, replace=False)
        parts.append(np.stack([first[chosen], second[chosen], np.ones(count, np.int64)], 1))
        parts.append(np.stack([own[mixed // max(1, len(others))], others[mixed % max(1, len(others))], 0 * mixed], 1))
    enrolment, test, targets = np.concatenate(parts).T
    return Pairs(enrolment, test, targets.astype(bool))


def _same_speaker(utterances: Utterances, rows: NDArray[np.integer]) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """All pairs of a speaker's utterances, of two sessions where they are known."""
    first, second = (rows[places] for places in np.triu_indices(len(rows), 1))
    of_first, of_second = utterances.sessions[first], utterances.sessions[second]
    across = (of_first != of_second) & (of_first != UNKNOWN) & (of_second != UNKNOWN)
    return (first[across], second[across]) if across.any() else (first, second)
