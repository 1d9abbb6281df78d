"""How much of a validation accuracy is the recording session's: what a linear channel classifier reaches.

Under a random split the sessions of the validation utterances were trained on. A linear classifier that looks at
nothing but the average spectrum and its spread, and learns to tell sessions apart, then recognizes the room and the
microphone, and thereby who was recorded there; under a split that keeps sessions whole, it cannot. The difference is
what a random split would flatter.
"""

from dataclasses import dataclass

import numpy as np
import torch

from speakerid.corpus.records import Utterances
from speakerid.corpus.split import By, split
from speakerid.corpus.store import FrameStore
from speakerid.evaluation.baseline import linear_baseline
from speakerid.evaluation.metrics import macro_accuracy
from speakerid.evaluation.sufficiency import NotMeasured, no_leakage

LARGEST = 20_000
"""Utterances that are looked at; of a larger corpus the first speakers."""


@dataclass(frozen=True)
class Leakage:
    """Macro accuracy over speakers on validation utterances."""

    random: float
    """Utterances drawn at random."""
    disjoint: float
    """Utterances parted by `how`."""
    how: str
    """See `Split.how`."""

    def __str__(self) -> str:
        return (
            f"a linear classifier of sessions finds {100 * self.random:.1f} % of the speakers if validation is drawn "
            f"at random, and {100 * self.disjoint:.1f} % if it is {self.how}"
        )


def leakage(
    store: FrameStore, utterances: Utterances, valid_fraction: float = 0.1, seed: int = 0
) -> Leakage | NotMeasured:
    """Measure the leakage of the labeled part of a corpus.

    Args:
        store: its frames.
        utterances: its labeled utterances.
        valid_fraction: share of each speaker's utterances that validates.
        seed: of the random split.
    """
    known = utterances.speakers[~utterances.company]
    speakers = np.unique(known)
    counts = np.bincount(known)[speakers].cumsum()
    chosen = speakers[: max(2, int(np.searchsorted(counts, LARGEST, "right")))]
    inside = np.isin(utterances.speakers, chosen)
    originals = utterances.origins == np.arange(len(utterances))
    if missing := no_leakage(utterances, np.flatnonzero(inside & originals)):
        return missing
    # A class for each session; what has no known session is one of its speaker's.
    pairs = np.stack([utterances.speakers, utterances.sessions], 1)
    occasions, session = np.unique(pairs, axis=0, return_inverse=True)
    speaker_of = torch.from_numpy(occasions[:, 0].astype(np.int64))

    def reached(by: By) -> tuple[float, str]:
        parts = split(utterances, by, valid_fraction, seed)
        train, valid = ([row for row in part if inside[row]] for part in (parts.train, parts.valid))
        held_out = None if by == "random" else session[train]  # the shrinkage is chosen for the split it serves
        answers = utterances.speakers[train]
        predicted = linear_baseline(store, train, session[train].tolist(), store, valid, None, held_out, answers)
        truth = torch.from_numpy(utterances.speakers[valid].astype(np.int64))
        return macro_accuracy(speaker_of[predicted], truth), parts.how

    random, _ = reached("random")
    disjoint, how = reached("auto")
    return Leakage(random, disjoint, how)
