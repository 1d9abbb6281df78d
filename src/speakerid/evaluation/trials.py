"""Verification trials: pairs of utterances, and whether both are of the same speaker.

Shapes: T trials, N utterances.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speakerid.corpus.utterances import UNKNOWN, Utterances

LARGEST = 2_000
"""Largest number of utterances of a speaker to draw pairs from, which bounds the number of pairs."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Trials as indices of utterances."""

    enrolment: NDArray[np.int64]
    """(T,)"""
    test: NDArray[np.int64]
    """(T,)"""
    targets: NDArray[np.bool_]
    """(T,) whether both utterances are of the same speaker."""


def draw_pairs(utterances: Utterances, per_speaker: int, seed: int = 0) -> Pairs:
    """Draw as many non-target as target trials for every speaker.

    The two utterances of a target trial are of different sessions if the speaker has two known ones, since utterances
    of one session are alike in more than the voice. Augmented copies are left out.

    Args:
        utterances: N utterances; those of unknown speakers are left out.
        per_speaker: number of target trials of each speaker, fewer if there are not as many pairs.
        seed: seed of the draws.
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
    """All pairs of a speaker's utterances; only those of different sessions if there are any."""
    first, second = (rows[positions] for positions in np.triu_indices(len(rows), 1))
    first_sessions, second_sessions = utterances.sessions[first], utterances.sessions[second]
    across = (first_sessions != second_sessions) & (first_sessions != UNKNOWN) & (second_sessions != UNKNOWN)
    return (first[across], second[across]) if across.any() else (first, second)
