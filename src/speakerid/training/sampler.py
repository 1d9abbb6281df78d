"""Which utterances are in the batch of step k.

Shapes: B batch.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

ORDER, CROP, LENGTH, COMPANY = range(4)
"""Keys of the independent random streams from which the batches of a run are drawn."""


class Sampler:
    """Shuffled utterances of speakers and random ones of company; `draws[k]` depends on the arguments and k only.

    Company is other people, whose recordings only help to train. Every epoch is a new permutation of the speakers'
    utterances, and a batch may span two epochs. Company has the same number of rows in every batch, at random
    positions: a person is drawn uniformly, then an utterance of that person.

    Args:
        indices: training utterances, including company.
        labels: class of each utterance.
        is_company: whether each utterance is company.
        batch_size: B.
        company_share: share of a batch that is company. It is reduced to the share of company among all voices if that
            is smaller, so that no one is drawn more often than the average speaker.
        seed: seed of the draws.
    """

    def __init__(
        self,
        indices: NDArray[np.integer],
        labels: NDArray[np.integer],
        is_company: NDArray[np.bool_],
        batch_size: int,
        company_share: float,
        seed: int,
    ) -> None:
        self._own = indices[~is_company]
        assert len(self._own), "no utterances to train on"
        self._company = _by_label(indices[is_company], labels[is_company])
        speakers = len(np.unique(labels[~is_company])) if self._company else 0
        self._company_rows = _rows_of_company(len(self._company), speakers, batch_size, company_share)
        self._own_rows = batch_size - self._company_rows
        self._seed = seed
        self._order = lru_cache(maxsize=2)(self._shuffled)

    def __getitem__(self, step: int) -> NDArray[np.int64]:
        """(B,) utterances of a step, counted from 0."""
        epochs, positions = np.divmod(np.arange(step * self._own_rows, (step + 1) * self._own_rows), len(self._own))
        batch = np.empty(self._own_rows, np.int64)
        for epoch in range(int(epochs[0]), int(epochs[-1]) + 1):
            batch[epochs == epoch] = self._order(epoch)[positions[epochs == epoch]]
        if not self._company_rows:
            return batch
        rng = np.random.default_rng([self._seed, COMPANY, step])
        people = [self._company[person] for person in rng.integers(0, len(self._company), self._company_rows)]
        company = [utterances[rng.integers(len(utterances))] for utterances in people]
        return rng.permutation(np.concatenate([batch, company]))

    def _shuffled(self, epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng([self._seed, ORDER, epoch]).permutation(self._own)


def _by_label(indices: NDArray[np.integer], labels: NDArray[np.integer]) -> list[NDArray[np.integer]]:
    """The utterances of every class, by class."""
    order = np.argsort(labels, kind="stable")
    edges = np.flatnonzero(np.diff(labels[order])) + 1
    return np.split(indices[order], edges) if len(indices) else []


def _rows_of_company(people: int, speakers: int, batch_size: int, share: float) -> int:
    """Number of rows of a batch that are company; at least one row is left for the speakers."""
    if not people or not share:
        return 0
    rows = round(batch_size * min(share, people / (people + speakers)))
    return min(max(1, rows), batch_size - 1)
