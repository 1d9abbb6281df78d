"""The batch of step k, and the batches of a whole corpus.

Letters: B utterances in a batch, T frames, M mel bands, N utterances.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from speakerid.corpus.store import FrameStore
from speakerid.distributed import share
from speakerid.draws import CROP, LENGTH, Draws
from speakerid.layers.masks import frame_mask

RESIDENT_SHARE = 0.5
"""Of a GPU's free memory that the corpus may take; the rest is the model's."""
CROP_LENGTHS = 8
"""Lengths that crops of drawn lengths may have; each is a CUDA graph, or compiled, by itself."""
UPLOAD = 1 << 20
"""Frames copied to the GPU at a time, so that the host never holds the corpus."""
RELEASE = 512
"""Utterances after which the pages of the store that they lay in are given back; the system maps many around each."""
AHEAD = 4
"""Batches that are gathered and on their way while a step is at work."""


class Batches(Protocol):
    """The batch of step k: (B, T, M) features and (B,) labels."""

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]: ...


class TrainingBatches:
    """Random crops of shuffled utterances; `batches[k]` depends on the arguments and k alone, so nothing needs saving.

    Every epoch is a new permutation, and a batch may span two of them: nothing is dropped. A crop starts at any
    frame from which it fits; an utterance shorter than the crop is repeated until it fills it. Where several processes
    train together, each gets its share of the same batch.

    Args:
        store: the features.
        indices: places of the training utterances in the store.
        labels: class of every utterance of the store.
        batch_size: B, of all processes together.
        crop_frames: T.
        seed: of order and crops.
        device: where batches are wanted. If it is a GPU with room for the corpus, the frames live there.
        longest_crop_frames: draw T anew for every batch, from `CROP_LENGTHS` between `crop_frames` and this.
        company: whether each utterance of the store is company, see `Utterances.company`; none is by default.
        company_share: share of a batch that is company at most, see `speakerid.draws.Draws`.
    """

    def __init__(
        self,
        store: FrameStore,
        indices: Sequence[int],
        labels: ArrayLike,
        batch_size: int,
        crop_frames: int,
        seed: int,
        device: torch.device | str = "cpu",
        longest_crop_frames: int | None = None,
        company: ArrayLike | None = None,
        company_share: float = 0.5,
    ) -> None:
        self._store = store
        self._labels = np.asarray(labels, np.int64)
        self._batch_size = batch_size
        chosen = np.asarray(indices)
        is_company = np.zeros(len(chosen), bool) if company is None else np.asarray(company, bool)[chosen]
        self._draws = Draws(chosen, self._labels[chosen], is_company, batch_size, company_share, seed)
        longest = crop_frames if longest_crop_frames is None else longest_crop_frames
        self._crop_lengths = np.unique(np.linspace(crop_frames, longest, CROP_LENGTHS).round().astype(np.int64))
        self._seed = seed
        self._device = torch.device(device)
        self._resident = self._uploaded() if self._fits() else None

    @property
    def resident(self) -> bool:
        """Whether the frames live in the GPU's memory."""
        return self._resident is not None

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        """(B, T, M) float32 features and (B,) int64 labels of step `step`, counted from 0."""
        if step % max(1, RELEASE // self._batch_size) == 0:
            self._store.release()
        batch = self._draws[step]
        crop_frames = np.random.default_rng([self._seed, LENGTH, step]).choice(self._crop_lengths)
        rng = np.random.default_rng([self._seed, CROP, step])
        starts = rng.integers(0, np.maximum(self._store.lengths[batch] - crop_frames, 0) + 1)
        mine = share(self._batch_size)  # drawn for all, so that a batch is the same on any number of processes
        batch, starts = batch[mine], starts[mine]
        within = (starts[:, None] + np.arange(crop_frames)) % self._store.lengths[batch][:, None]
        frames = self._gathered(self._store.offsets[batch][:, None] + within)
        return frames, self._sent(torch.from_numpy(self._labels[batch]))

    def _gathered(self, places: NDArray[np.int64]) -> Tensor:
        """(B, T) places of frames to (B, T, M) frames on the device."""
        if self._resident is not None:
            return self._resident[self._sent(torch.from_numpy(places))].float()
        return self._sent(torch.from_numpy(self._store.frames[places].astype(np.float32, copy=False)))

    def _sent(self, tensor: Tensor) -> Tensor:
        if self._device.type != "cuda":
            return tensor
        return tensor.pin_memory().to(self._device, non_blocking=True)

    def _fits(self) -> bool:
        if self._device.type != "cuda":
            return False
        return self._store.frames.nbytes <= RESIDENT_SHARE * torch.cuda.mem_get_info(self._device)[0]

    def _uploaded(self) -> Tensor:
        frames = self._store.frames
        resident = torch.from_numpy(np.empty_like(frames, shape=(0, 0))).new_empty(frames.shape, device=self._device)
        for start in range(0, len(frames), UPLOAD):
            resident[start : start + UPLOAD] = torch.from_numpy(np.array(frames[start : start + UPLOAD]))
        return resident


class Prefetched:
    """The same batches, the next few of them gathered by a thread while the present one is at work.

    Args:
        batches: pure in the step.
    """

    def __init__(self, batches: Batches) -> None:
        self._batches = batches
        self._thread = ThreadPoolExecutor(1, "batches")
        self._waiting: dict[int, Future[tuple[Tensor, Tensor]]] = {}

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        wanted = range(step, step + AHEAD + 1)
        self._waiting = {k: self._waiting.get(k) or self._thread.submit(self._batches.__getitem__, k) for k in wanted}
        return self._waiting.pop(step).result()


@dataclass(frozen=True)
class Crops:
    """Evenly spaced pieces to look at besides an utterance that is longer than they are."""

    count: int
    """The first begins where the utterance does, the last ends where it does; a single one is its middle."""
    frames: int
    """Of each of them."""


@dataclass(frozen=True)
class PaddedBatch:
    """Utterances, or pieces of them, side by side."""

    places: NDArray[np.int64]
    """(B,) which of the utterances these are."""
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
    for places, batches in utterances_in_views(store, indices, frames_per_batch, crop_frames):
        for batch in batches:
            yield replace(batch, places=places[batch.places])


def utterances_in_views(
    store: FrameStore,
    indices: Sequence[int],
    frames_per_batch: int,
    crop_frames: int | None = None,
    crops: Crops | None = None,
    every: int = 1,
    first_of: int = 0,
) -> Iterator[tuple[NDArray[np.int64], Iterator[PaddedBatch]]]:
    """Every utterance in all its views, a few utterances at a time: as many as `whole_utterances` has in a batch.

    Args:
        store: the features.
        indices: places of the utterances in the store.
        frames_per_batch: bound on B × T; a view longer than this goes alone.
        crop_frames: only so many frames from the middle of each utterance; all of them by default.
        crops: to look at besides; none by default.
        every: yield only one in so many groups of utterances, where processes share the work,
        first_of: beginning with this one.

    Yields:
        (N,) places in `indices` of the utterances of a group, and batches of their views, to be read before the next
        group; `places` of a batch are places in the group.
    """
    chosen = np.asarray(indices, dtype=np.int64)
    starts, lengths = store.offsets[chosen], store.lengths[chosen]
    if crop_frames is not None:
        starts = starts + np.maximum(lengths - crop_frames, 0) // 2
        lengths = np.minimum(lengths, crop_frames)
    read = 0
    for number, group in enumerate(_neighbours(lengths, frames_per_batch)):
        if number % every == first_of:
            if read >= RELEASE:
                store.release()
                read = 0
            read += len(group)
            yield group, _padded_views(store, starts[group], lengths[group], frames_per_batch, crops)
    store.release()


def _neighbours(lengths: NDArray[np.integer], frames_per_batch: int) -> Iterator[NDArray[np.int64]]:
    """Places of neighbours in length, as many as padded have so many frames."""
    order = np.argsort(lengths, kind="stable")
    first = 0
    while first < len(order):
        last = first + 1
        while last < len(order) and (last - first + 1) * lengths[order[last]] <= frames_per_batch:
            last += 1
        yield order[first:last]
        first = last


def _padded_views(
    store: FrameStore,
    starts: NDArray[np.integer],
    lengths: NDArray[np.integer],
    frames_per_batch: int,
    crops: Crops | None,
) -> Iterator[PaddedBatch]:
    """The stretches of the store that begin and are as long as told, and crops of those that are longer than a crop."""
    places = np.arange(len(starts))
    if crops is not None:
        longer = places[lengths > crops.frames]
        parts, total = (np.arange(crops.count), crops.count - 1) if crops.count > 1 else (np.array([1]), 2)
        offsets = (lengths[longer, None] - crops.frames) * parts // total
        places = np.concatenate([places, longer.repeat(crops.count)])
        starts = np.concatenate([starts, (starts[longer, None] + offsets).flatten()])
        lengths = np.concatenate([lengths, np.full(offsets.size, crops.frames)])
    for views in _neighbours(lengths, frames_per_batch):
        yield PaddedBatch(places[views], *_padded(store, starts[views], lengths[views]))


def _padded(
    store: FrameStore, starts: NDArray[np.integer], lengths: NDArray[np.integer]
) -> tuple[Tensor, Tensor | None]:
    longest = int(lengths.max())
    features = torch.zeros(len(lengths), longest, store.frames.shape[1])
    for row, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        features[row, :length] = torch.from_numpy(np.array(store.frames[start : start + length], np.float32))
    mask = None if lengths.min() == longest else frame_mask(torch.from_numpy(lengths), longest)
    return features, mask
