"""Derive recordings from others: pieces, other channels, other voices. The results are deterministic.

Shapes: N recordings, T frames, M mel bands.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from speakerid.config import FeatureConfig
from speakerid.corpus.store import FrameStore
from speakerid.nn.channel_augment import ChannelAugment
from speakerid.recognition.pseudo_strangers import shift

CHANNELS = {"reverberation": 0.4, "noise": 0.3, "equalization": 0.5, "band_limit": 0.2}
"""Probabilities, see `ChannelAugment`; without other voices as noise, which depend on the rest of a batch."""
MOST_PIECES = 5000
"""Largest number of pieces of a corpus; more would not change the result."""
LARGEST_SHIFT = 0.25
"""Largest shift of the frequencies of a voice, up or down, in natural logarithms."""
_BATCH = 256
"""Number of recordings of one length that are passed through channels at a time."""


def pieces(store: FrameStore, indices: Sequence[int], frames: int) -> tuple[FrameStore, NDArray[np.int64]]:
    """Split recordings into consecutive pieces of one length, `MOST_PIECES` at most; shorter recordings have none.

    Returns:
        The pieces, views of the store's frames, and for each the row in `indices`.
    """
    chosen = np.asarray(indices, np.int64)
    counts = store.lengths[chosen] // frames
    rows = np.repeat(np.arange(len(counts)), counts)
    starts = store.offsets[chosen][rows] + (np.arange(len(rows)) - (np.cumsum(counts) - counts)[rows]) * frames
    kept = evenly_spaced(len(rows), MOST_PIECES)
    return FrameStore(store.frames, starts[kept], np.full(len(kept), frames)), rows[kept]


def evenly_spaced(length: int, most: int) -> NDArray[np.int64]:
    """Indices, ascending, of all of `length` items, or of `most` evenly spaced ones."""
    return np.arange(length) if length <= most else np.arange(most) * length // most


def through_channels(store: FrameStore, features: FeatureConfig, seed: int, other_voices: bool = False) -> FrameStore:
    """Pass each recording of a store through a random channel.

    Args:
        store: recordings.
        features: settings of the features.
        seed: seed of the channels.
        other_voices: shift the frequencies of each recording by a random factor first, which makes another voice.
    """
    channels = ChannelAugment(**CHANNELS, floor=math.log(features.floor), frames_per_second=features.frames_per_second)
    found: list[Tensor] = [torch.empty(0)] * len(store)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for rows in _of_one_length(store.lengths):
            frames = torch.stack([store.utterance(row) for row in rows])
            if other_voices:
                factors = torch.empty(len(rows)).uniform_(-LARGEST_SHIFT, LARGEST_SHIFT).exp()
                frames = frames @ torch.from_numpy(np.stack([shift(features, factor) for factor in factors.tolist()]))
            for row, passed in zip(rows, channels(frames), strict=True):
                found[row] = passed
    return FrameStore.from_utterances([one.numpy() for one in found], store.frames.shape[1])


def _of_one_length(lengths: NDArray[np.integer]) -> Iterator[list[int]]:
    """Yield rows of recordings of one length, `_BATCH` at most."""
    order = np.argsort(lengths, kind="stable")
    for same in np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1):
        for start in range(0, len(same), _BATCH):
            yield same[start : start + _BATCH].tolist()
