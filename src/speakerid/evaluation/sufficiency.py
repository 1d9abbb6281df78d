"""Whether there is enough data for a figure, and if not, why not, in words for a report.

Every function returns None if the figure can be computed.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speakerid.corpus.records import Utterances

SAME = 1e-6
"""Relative difference up to which two embeddings are the same but for rounding."""


@dataclass(frozen=True)
class NotMeasured:
    """In place of a figure."""

    reason: str

    def __str__(self) -> str:
        return f"not measured: {self.reason}"


def no_leakage(utterances: Utterances, rows: NDArray[np.integer]) -> NotMeasured | None:
    """Leakage needs a session that a random split can put on both sides.

    Args:
        utterances: of a corpus.
        rows: those to look at, without augmented copies.
    """
    speakers, sessions = utterances.speakers[rows], utterances.sessions[rows]
    if len(np.unique(speakers)) < 2:
        return NotMeasured("there is one speaker only")
    if np.unique(speakers, return_counts=True)[1].max() < 2:
        return NotMeasured("every speaker has one recording, so none is left to validate on")
    if np.unique(np.stack([speakers, sessions]), axis=1, return_counts=True)[1].max() < 2:
        return NotMeasured("every session has one recording, so no split can put a session on both sides")
    return None


def no_trials(targets: NDArray[np.bool_]) -> NotMeasured | None:
    """Error rates need trials of one speaker and trials of two.

    Args:
        targets: (T,) whether one speaker speaks in both utterances of a trial.
    """
    if targets.any() and not targets.all():
        return None
    return NotMeasured("it takes two utterances of one speaker and one of another")


def no_map(points: NDArray[np.floating]) -> NotMeasured | None:
    """A map needs two different points.

    Args:
        points: (N, D).
    """
    if len(points) < 2:
        return NotMeasured("there is one utterance only")
    if np.ptp(points, axis=0).max() <= SAME * np.abs(points).max():
        return NotMeasured("all embeddings are the same")
    return None
