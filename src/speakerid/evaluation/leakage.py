"""Session leakage: how much of a validation accuracy is due to recording sessions, by a linear classifier.

With a random split the model has been trained on the sessions of the validation utterances. A linear classifier of
sessions, which sees only the mean spectrum and its spread, then recognizes the room and the microphone, and so the
speaker who was recorded there. With a split that keeps sessions whole it cannot. The difference is by how much a random
split overestimates accuracy.
"""

from dataclasses import dataclass

import numpy as np
import torch

from speakerid.corpus.split import By, split
from speakerid.corpus.store import FrameStore
from speakerid.corpus.utterances import Utterances
from speakerid.evaluation.baseline import linear_baseline
from speakerid.evaluation.sufficiency import NotMeasured, no_leakage
from speakerid.metrics.classification import macro_accuracy

LARGEST = 20_000
"""Largest number of utterances to use; in a larger corpus, only the first speakers are used."""


@dataclass(frozen=True)
class Leakage:
    """Macro accuracy over speakers, on validation utterances."""

    random: float
    """With a random split."""
    disjoint: float
    """With the split of `how`."""
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
        valid_fraction: share of each speaker's utterances to validate on.
        seed: seed of the random split.
    """
    known = utterances.speakers[~utterances.company]
    speakers = np.unique(known)
    counts = np.bincount(known)[speakers].cumsum()
    chosen = speakers[: max(2, int(np.searchsorted(counts, LARGEST, "right")))]
    inside = np.isin(utterances.speakers, chosen)
    originals = utterances.origins == np.arange(len(utterances))
    if missing := no_leakage(utterances, np.flatnonzero(inside & originals)):
        return missing
    # A class for each session; a speaker's utterances without a known session are one class.
    pairs = np.stack([utterances.speakers, utterances.sessions], 1)
    occasions, session = np.unique(pairs, axis=0, return_inverse=True)
    speaker_of = torch.from_numpy(occasions[:, 0].astype(np.int64))

    def reached(by: By) -> tuple[float, str]:
        parts = split(utterances, by, valid_fraction, seed)
        train, valid = ([row for row in part if inside[row]] for part in (parts.train, parts.valid))
        held_out = None if by == "random" else session[train]  # choose the shrinkage for this kind of split
        answers = utterances.speakers[train]
        predicted = linear_baseline(store, train, session[train].tolist(), store, valid, None, held_out, answers)
        truth = torch.from_numpy(utterances.speakers[valid].astype(np.int64))
        return macro_accuracy(speaker_of[predicted], truth), parts.how

    random, _ = reached("random")
    disjoint, how = reached("auto")
    return Leakage(random, disjoint, how)
