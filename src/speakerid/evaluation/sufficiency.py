"""Checks that there is enough data for a figure; if not, the reason, worded for a report.

Every function returns None if the figure can be computed.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speakerid.corpus.utterances import Utterances

SAME = 1e-6
"""Relative difference up to which two embeddings are considered equal."""


@dataclass(frozen=True)
class NotMeasured:
    """Placeholder for a figure that cannot be measured, with the reason."""

    reason: str

    def __str__(self) -> str:
        return f"not measured: {self.reason}"


def no_leakage(utterances: Utterances, rows: NDArray[np.integer]) -> NotMeasured | None:
    """Check for leakage, which needs a session that a random split can put on both sides.

    Args:
        utterances: utterances of a corpus.
        rows: rows of those to use, without augmented copies.
    """
    speakers, sessions = utterances.speakers[rows], utterances.sessions[rows]
    if len(np.unique(speakers)) < 2:
        return NotMeasured("there is only one speaker")
    if np.unique(speakers, return_counts=True)[1].max() < 2:
        return NotMeasured("every speaker has one recording, so none is left to validate on")
    if np.unique(np.stack([speakers, sessions]), axis=1, return_counts=True)[1].max() < 2:
        return NotMeasured("every session has one recording, so no split can put a session on both sides")
    return None


def no_trials(targets: NDArray[np.bool_]) -> NotMeasured | None:
    """Check for error rates, which need target and non-target trials.

    Args:
        targets: (T,) whether both utterances of a trial are of the same speaker.
    """
    if targets.any() and not targets.all():
        return None
    return NotMeasured("needs two utterances of one speaker and one of another")


def no_map(points: NDArray[np.floating]) -> NotMeasured | None:
    """Check for a map, which needs two different points.

    Args:
        points: (N, D).
    """
    if len(points) < 2:
        return NotMeasured("there is only one utterance")
    if np.ptp(points, axis=0).max() <= SAME * np.abs(points).max():
        return NotMeasured("all embeddings are the same")
    return None
