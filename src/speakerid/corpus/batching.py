"""Group utterances into batches of similar length, in NumPy.

Shapes: N utterances, B batch, T frames, M mel bands.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from speakerid.corpus.store import FrameStore

CPU_FRAMES = 2048
"""Padded frames in a batch on a CPU, few enough for a layer's output to stay in the cache."""


def groups_by_length(lengths: NDArray[np.integer], frames_per_batch: int) -> Iterator[NDArray[np.int64]]:
    """Indices in the order of length, in groups of at most `frames_per_batch` padded frames or of one."""
    order = np.argsort(lengths, kind="stable")
    first = 0
    while first < len(order):
        last = first + 1
        while last < len(order) and (last - first + 1) * padded_length(int(lengths[order[last]])) <= frames_per_batch:
            last += 1
        yield order[first:last]
        first = last


def padded_length(frames: int) -> int:
    """Number of frames rounded up to six binary digits, by at most a thirty-second part.

    On a CPU, PyTorch compiles convolutions for every new shape of a batch, which takes as long as a sixth of the batch.
    So there are few shapes.
    """
    step = 1 << max(0, frames.bit_length() - 6)
    return -(-frames // step) * step


def middle(
    store: FrameStore, indices: NDArray[np.integer], crop_frames: int | None
) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """(N,) first frames in the store, and (N,) lengths, of utterances or of `crop_frames` in the middle of each."""
    starts, lengths = store.offsets[indices], store.lengths[indices]
    if crop_frames is None:
        return starts, lengths
    return starts + np.maximum(lengths - crop_frames, 0) // 2, np.minimum(lengths, crop_frames)


def padded(
    store: FrameStore, starts: NDArray[np.integer], lengths: NDArray[np.integer]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(B, T, M) features, zero at padded frames, and (B, T) frame mask, true at real ones."""
    longest = int(lengths.max())
    if lengths.min() < longest:
        longest = padded_length(longest)
    features = np.zeros((len(lengths), longest, store.frames.shape[1]), np.float32)
    for row, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        features[row, :length] = store.frames[start : start + length]
    return features, np.arange(longest) < lengths[:, None]
