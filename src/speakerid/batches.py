"""The batch of step k, and the batches of a whole corpus.

Letters: B utterances in a batch, T frames, M mel bands, N utterances.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from speakerid.corpus.store import FrameStore
from speakerid.layers.masks import frame_mask

_ORDER, _CROP = range(2)  # independent streams of random numbers


class TrainingBatches:
    """Random crops of shuffled utterances; `batches[k]` depends on the arguments and k alone, so nothing needs saving.

    Every epoch is a new permutation, and a batch may span two of them: nothing is dropped. A crop starts at any
    frame from which it fits; an utterance shorter than the crop is repeated until it fills it.

    Args:
        store: the features.
        indices: places of the training utterances in the store.
        labels: class of every utterance of the store.
        batch_size: B.
        crop_frames: T.
        seed: of order and crops.
    """

    def __init__(
        self,
        store: FrameStore,
        indices: Sequence[int],
        labels: ArrayLike,
        batch_size: int,
        crop_frames: int,
        seed: int,
    ) -> None:
        assert len(indices), "no utterances to train on"
        self._store = store
        self._indices = np.asarray(indices)
        self._labels = np.asarray(labels, np.int64)
        self._batch_size = batch_size
        self._crop_frames = crop_frames
        self._seed = seed
        self._order = lru_cache(maxsize=2)(self._shuffled)

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        """(B, T, M) float32 features and (B,) int64 labels of step `step`, counted from 0."""
        first = step * self._batch_size
        places = np.arange(first, first + self._batch_size)
        epochs, places = np.divmod(places, len(self._indices))
        batch = np.array([self._order(int(e))[p] for e, p in zip(epochs, places, strict=True)])
        rng = np.random.default_rng([self._seed, _CROP, step])
        lengths = self._store.lengths[batch]
        starts = rng.integers(0, np.maximum(lengths - self._crop_frames, 0) + 1)
        within = (starts[:, None] + np.arange(self._crop_frames)) % lengths[:, None]
        frames = self._store.frames[self._store.offsets[batch][:, None] + within]
        return torch.from_numpy(frames.astype(np.float32, copy=False)), torch.from_numpy(self._labels[batch])

    def _shuffled(self, epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng([self._seed, _ORDER, epoch]).permutation(self._indices)


@dataclass(frozen=True)
class PaddedBatch:
    """Whole utterances side by side."""

    places: NDArray[np.int64]
    """(B,) which of the utterances asked for these are."""
    features: Tensor
    """(B, T, M), zero where padded."""
    mask: Tensor | None
    """(B, T), true at real frames; None where nothing is padded."""


def whole_utterances(
    store: FrameStore, indices: Sequence[int], frames_per_batch: int, crop_frames: int | None = None
) -> Iterator[PaddedBatch]:
    """Every utterance once, neighbours in length together.

    Args:
        store: the features.
        indices: places of the utterances in the store.
        frames_per_batch: bound on B × T; an utterance longer than this goes alone.
        crop_frames: only so many frames from the middle of each utterance; all of them by default.

    Yields:
        Batches from the shortest utterances to the longest, each in the order of `indices` among equals.
    """
    chosen = np.asarray(indices, dtype=np.int64)
    lengths = store.lengths[chosen]
    starts = np.zeros_like(lengths)
    if crop_frames is not None:
        starts = np.maximum(lengths - crop_frames, 0) // 2
        lengths = np.minimum(lengths, crop_frames)
    order = np.argsort(lengths, kind="stable")
    first = 0
    while first < len(order):
        last = first + 1
        while last < len(order) and (last - first + 1) * lengths[order[last]] <= frames_per_batch:
            last += 1
        places = order[first:last]
        features, mask = _padded(store, store.offsets[chosen[places]] + starts[places], lengths[places])
        yield PaddedBatch(places, features, mask)
        first = last


def _padded(
    store: FrameStore, starts: NDArray[np.integer], lengths: NDArray[np.integer]
) -> tuple[Tensor, Tensor | None]:
    longest = int(lengths.max())
    features = torch.zeros(len(lengths), longest, store.frames.shape[1])
    for row, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        features[row, :length] = torch.from_numpy(np.array(store.frames[start : start + length], np.float32))
    mask = None if lengths.min() == longest else frame_mask(torch.from_numpy(lengths), longest)
    return features, mask
