"""The batch of step k, and the batches of a whole corpus.

Shapes: B batch, T frames, M mel bands, N utterances of a group.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from speakerid.base.distributed import share
from speakerid.corpus.batching import groups_by_length, middle, padded
from speakerid.corpus.store import FrameStore
from speakerid.training.sampler import CROP, LENGTH, Sampler

RESIDENT_SHARE = 0.5
"""Share of a GPU's free memory that the corpus may use; the rest is for the model."""
CROP_LENGTHS = 8
"""Number of different lengths of randomly sized crops; each is captured or compiled separately."""
UPLOAD = 1 << 20
"""Frames copied to the GPU at a time, so that the host never holds the whole corpus."""
RELEASE = 512
"""Utterances read before their memory-mapped pages are released; the system maps many pages around each."""
AHEAD = 4
"""Batches prefetched while a step runs."""


class Batches(Protocol):
    """The batch of step k: (B, T, M) features and (B,) labels."""

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]: ...


class TrainingBatches:
    """Random crops of shuffled utterances; `batches[k]` depends on the arguments and k only, so nothing needs saving.

    Every epoch is a new permutation, and a batch may span two epochs, so that nothing is dropped. A crop starts at any
    frame from which it fits; an utterance shorter than the crop is repeated to fill it. If several processes train
    together, each gets its share of the same batch.

    Args:
        store: the features.
        indices: indices of the training utterances in the store.
        labels: class of every utterance of the store.
        batch_size: B, over all processes.
        crop_frames: T.
        seed: seed of order and crops.
        device: device of the batches. On a GPU with room for the corpus, all frames are kept in its memory.
        longest_crop_frames: draw T for every batch, from `CROP_LENGTHS` lengths between `crop_frames` and this.
        company: whether each utterance of the store is company, see `Utterances.company`; by default none is.
        company_share: largest share of a batch that is company, see `speakerid.training.sampler.Sampler`.
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
        self._sampler = Sampler(chosen, self._labels[chosen], is_company, batch_size, company_share, seed)
        longest = crop_frames if longest_crop_frames is None else longest_crop_frames
        self._crop_lengths = np.unique(np.linspace(crop_frames, longest, CROP_LENGTHS).round().astype(np.int64))
        self._seed = seed
        self._device = torch.device(device)
        self._resident = self._upload() if self._fits() else None

    @property
    def resident(self) -> bool:
        """Whether the frames are kept in the GPU's memory."""
        return self._resident is not None

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        """(B, T, M) float32 features and (B,) int64 labels of a step, counted from 0."""
        if step % max(1, RELEASE // self._batch_size) == 0:
            self._store.release()
        batch = self._sampler[step]
        crop_frames = np.random.default_rng([self._seed, LENGTH, step]).choice(self._crop_lengths)
        rng = np.random.default_rng([self._seed, CROP, step])
        starts = rng.integers(0, np.maximum(self._store.lengths[batch] - crop_frames, 0) + 1)
        mine = share(self._batch_size)  # drawn for all processes, so that a batch does not depend on their number
        batch, starts = batch[mine], starts[mine]
        within = (starts[:, None] + np.arange(crop_frames)) % self._store.lengths[batch][:, None]
        frames = self._gather(self._store.offsets[batch][:, None] + within)
        return frames, self._to_device(torch.from_numpy(self._labels[batch]))

    def _gather(self, indices: NDArray[np.int64]) -> Tensor:
        """(B, T) indices of frames to (B, T, M) frames on the device."""
        if self._resident is not None:
            return self._resident[self._to_device(torch.from_numpy(indices))].float()
        return self._to_device(torch.from_numpy(self._store.frames[indices].astype(np.float32, copy=False)))

    def _to_device(self, tensor: Tensor) -> Tensor:
        if self._device.type != "cuda":
            return tensor
        return tensor.pin_memory().to(self._device, non_blocking=True)

    def _fits(self) -> bool:
        if self._device.type != "cuda":
            return False
        return self._store.frames.nbytes <= RESIDENT_SHARE * torch.cuda.mem_get_info(self._device)[0]

    def _upload(self) -> Tensor:
        frames = self._store.frames
        resident = torch.from_numpy(np.empty_like(frames, shape=(0, 0))).new_empty(frames.shape, device=self._device)
        for start in range(0, len(frames), UPLOAD):
            resident[start : start + UPLOAD] = torch.from_numpy(np.array(frames[start : start + UPLOAD]))
        return resident


class Prefetched:
    """The same batches, with the next few gathered by a thread while the current one is used.

    Args:
        batches: batches that depend on the step only.
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
    """Evenly spaced crops to evaluate besides the whole of an utterance that is longer than a crop."""

    count: int
    """Number of crops: the first at the start of the utterance, the last at its end; a single one in the middle."""
    frames: int
    """Frames of each crop."""


@dataclass(frozen=True)
class PaddedBatch:
    """Padded batch of whole utterances, or of crops of them."""

    indices: NDArray[np.int64]
    """(B,) indices of the utterances."""
    features: Tensor
    """(B, T, M), zero at padded frames."""
    mask: Tensor | None
    """(B, T), true at real frames; None if nothing is padded."""


def whole_utterances(
    store: FrameStore, indices: Sequence[int], frames_per_batch: int, crop_frames: int | None = None
) -> Iterator[PaddedBatch]:
    """Every utterance once, in batches of similar length.

    Args:
        store: the features.
        indices: indices of the utterances in the store.
        frames_per_batch: bound on B × T; a longer utterance is a batch of its own.
        crop_frames: take only this many frames, from the middle of each utterance; all by default.

    Yields:
        Batches in the order of length; utterances of equal length are in the order of `indices`.
    """
    for group, batches in utterances_in_views(store, indices, frames_per_batch, crop_frames):
        for batch in batches:
            yield replace(batch, indices=group[batch.indices])


def utterances_in_views(
    store: FrameStore,
    indices: Sequence[int],
    frames_per_batch: int,
    crop_frames: int | None = None,
    crops: Crops | None = None,
    every: int = 1,
    first: int = 0,
) -> Iterator[tuple[NDArray[np.int64], Iterator[PaddedBatch]]]:
    """All views of every utterance (the whole of it and its crops), a group of utterances at a time.

    A group is what `whole_utterances` has in one batch.

    Args:
        store: the features.
        indices: indices of the utterances in the store.
        frames_per_batch: bound on B × T; a longer view is a batch of its own.
        crop_frames: take only this many frames, from the middle of each utterance; all by default.
        crops: crops to add; none by default.
        every: yield one group in this many, if several processes share the work.
        first: index of the first group to yield.

    Yields:
        (N,) indices into `indices` of the utterances of a group, and batches of their views, to be read before the next
        group; `indices` of a batch are indices into the group.
    """
    chosen = np.asarray(indices, dtype=np.int64)
    starts, lengths = middle(store, chosen, crop_frames)
    read = 0
    for number, group in enumerate(groups_by_length(lengths, frames_per_batch)):
        if number % every == first:
            if read >= RELEASE:
                store.release()
                read = 0
            read += len(group)
            yield group, _padded_views(store, starts[group], lengths[group], frames_per_batch, crops)
    store.release()


def _padded_views(
    store: FrameStore,
    starts: NDArray[np.integer],
    lengths: NDArray[np.integer],
    frames_per_batch: int,
    crops: Crops | None,
) -> Iterator[PaddedBatch]:
    """Batches of the utterances at `starts` with `lengths`, and of crops of those longer than a crop."""
    indices = np.arange(len(starts))
    if crops is not None:
        longer = indices[lengths > crops.frames]
        parts, total = (np.arange(crops.count), crops.count - 1) if crops.count > 1 else (np.array([1]), 2)
        offsets = (lengths[longer, None] - crops.frames) * parts // total
        indices = np.concatenate([indices, longer.repeat(crops.count)])
        starts = np.concatenate([starts, (starts[longer, None] + offsets).flatten()])
        lengths = np.concatenate([lengths, np.full(offsets.size, crops.frames)])
    for views in groups_by_length(lengths, frames_per_batch):
        yield PaddedBatch(indices[views], *_pad(store, starts[views], lengths[views]))


def _pad(store: FrameStore, starts: NDArray[np.integer], lengths: NDArray[np.integer]) -> tuple[Tensor, Tensor | None]:
    features, mask = padded(store, starts, lengths)
    return torch.from_numpy(features), None if mask.all() else torch.from_numpy(mask)
