"""The linear baseline that stands beside every result: what the channel and the average spectrum give away.

Letters: N utterances, M mel bands.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch import Tensor

from speakerid.batches import whole_utterances
from speakerid.corpus.store import FrameStore


def linear_baseline(
    train: FrameStore,
    train_indices: Sequence[int],
    train_labels: Sequence[int],
    test: FrameStore,
    test_indices: Sequence[int],
    crop_frames: int | None = None,
) -> Tensor:
    """Linear discriminant analysis on each utterance's mean and standard deviation over frames.

    Args:
        train: features to fit.
        train_indices: places of the training utterances in `train`.
        train_labels: their classes, in the same order.
        test: features to classify.
        test_indices: places in `test`.
        crop_frames: classify only so many frames from the middle of each test utterance.

    Returns:
        (N,) predicted classes in the order of `test_indices`.
    """
    model = LinearDiscriminantAnalysis()
    model.fit(_statistics(train, train_indices), np.asarray(train_labels))
    return torch.from_numpy(model.predict(_statistics(test, test_indices, crop_frames)))


def _statistics(store: FrameStore, indices: Sequence[int], crop_frames: int | None = None) -> NDArray[np.float64]:
    """(N, 2 M) mean and standard deviation of every band, in the order of `indices`."""
    statistics = np.empty((len(indices), 2 * store.frames.shape[1]))
    for batch in whole_utterances(store, indices, frames_per_batch=1, crop_frames=crop_frames):
        frames = batch.features[0].double().numpy()
        statistics[batch.places[0]] = np.concatenate([frames.mean(0), frames.std(0)])
    return statistics
