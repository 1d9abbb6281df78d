"""Predictions for whole utterances, shared by validation, evaluation and inference.

Shapes: N utterances, B batch, S speakers.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from speakerid.base.distributed import gathered, rank, world_size
from speakerid.corpus.batching import CPU_FRAMES
from speakerid.corpus.store import FrameStore
from speakerid.training.batches import Crops, PaddedBatch, utterances_in_views


@torch.inference_mode()
def predict_batches(
    models: Sequence[nn.Module],
    store: FrameStore,
    indices: Sequence[int],
    frames_per_batch: int,
    crop_frames: int | None = None,
    crops: Crops | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Log-probabilities of every utterance, in batches, averaged over the models and over views of the utterance.

    With several processes, each gets its share of the batches.

    Args:
        models: classifiers of the same speakers, on the same device; in evaluation mode while this runs.
        store: the features.
        indices: indices of the utterances in the store.
        frames_per_batch: bound on the padded frames of a batch; at most `CPU_FRAMES` on a CPU.
        crop_frames: take only this many frames, from the middle of each utterance; all by default.
        crops: crops to add to utterances longer than they are. The log-probabilities of all these views have the same
            weight (test-time augmentation; evenly spaced crops as in Chung et al., 2020, In defence of metric learning
            for speaker recognition). None by default.

    Yields:
        (B,) indices into `indices` and (B, S) log-probabilities, on the CPU.
    """
    was_training = [model.training for model in models]
    try:
        for model in models:
            model.eval()
        if next(models[0].parameters()).device.type == "cpu":
            frames_per_batch = min(frames_per_batch, CPU_FRAMES)
        for group, batches in utterances_in_views(
            store, indices, frames_per_batch, crop_frames, crops, world_size(), rank()
        ):
            views = [(torch.from_numpy(batch.indices), _log_probabilities(models, batch)) for batch in batches]
            rows, scores = (torch.cat(column) for column in zip(*views, strict=True))
            total = scores.new_zeros(len(group), scores.shape[1]).index_add_(0, rows, scores)
            yield torch.from_numpy(group), total / rows.bincount()[:, None]
    finally:
        for model, training in zip(models, was_training, strict=True):
            model.train(training)


def predict(
    models: Sequence[nn.Module],
    store: FrameStore,
    indices: Sequence[int],
    frames_per_batch: int,
    crop_frames: int | None = None,
    crops: Crops | None = None,
) -> Tensor:
    """(N, S) log-probabilities in the order of `indices`, in every process; arguments as for `predict_batches`."""
    mine = list(predict_batches(models, store, indices, frames_per_batch, crop_frames, crops))
    parts = [part for share in gathered(mine) for part in share]
    rows, scores = (torch.cat(column) for column in zip(*parts, strict=True))
    return scores[rows.argsort()]


def _log_probabilities(models: Sequence[nn.Module], batch: PaddedBatch) -> Tensor:
    """(B, S) log-probabilities averaged over the models, on the CPU."""
    parameter = next(models[0].parameters())
    features = batch.features.to(parameter.device, parameter.dtype)
    mask = None if batch.mask is None else batch.mask.to(parameter.device)
    return torch.stack([model(features, mask).log_softmax(-1) for model in models]).mean(0).cpu()
