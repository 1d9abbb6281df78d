"""Labelled utterances of a store, and selections of them.

Shapes: N utterances.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speakerid.corpus.store import FrameStore


@dataclass(frozen=True)
class Labelled:
    """N labeled utterances."""

    store: FrameStore
    indices: Sequence[int]
    """Indices in the store."""
    labels: Sequence[int]
    """Their classes, in the same order."""
    sessions: Sequence[int] | None = None
    """Their sessions, in the same order; UNKNOWN if a session is not known."""


def chosen(part: Labelled, rows: NDArray[np.bool_]) -> Labelled:
    """The utterances whose row is true, of a (N,) array."""
    indices, labels = np.asarray(part.indices)[rows].tolist(), np.asarray(part.labels)[rows].tolist()
    return Labelled(part.store, indices, labels)
