"""Linear baseline for every result: accuracy from the channel and the average spectrum alone.

Shapes: N utterances, M mel bands.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from speakerid.corpus.store import FrameStore
from speakerid.evaluation.linear_classifier import fit_linear
from speakerid.training.batches import whole_utterances


def linear_baseline(
    train: FrameStore,
    train_indices: Sequence[int],
    train_labels: Sequence[int],
    test: FrameStore,
    test_indices: Sequence[int],
    crop_frames: int | None = None,
    sessions: ArrayLike | None = None,
    answers: ArrayLike | None = None,
) -> Tensor:
    """Predict classes by linear discriminant analysis on the mean and standard deviation of each utterance's frames.

    The shrinkage is chosen by cross-validation over sessions on the training utterances, see `fit_linear`.

    Args:
        train: features to fit.
        train_indices: indices of the training utterances in `train`.
        train_labels: their classes, in the same order.
        test: features to classify.
        test_indices: indices in `test`.
        crop_frames: number of frames to classify, from the middle of each test utterance; None for all of them.
        sessions: sessions of the training utterances; without them, blocks of consecutive utterances are held out.
        answers: correct answers for the training utterances, if these are not the classes.

    Returns:
        (N,) predicted classes in the order of `test_indices`.
    """
    optional = {"answers": answers, "sessions": sessions}
    columns = {name: np.asarray(column) for name, column in optional.items() if column is not None}
    model, shrinkage = fit_linear(statistics(train, train_indices), np.asarray(train_labels), **columns)
    return torch.from_numpy(model.predict(statistics(test, test_indices, crop_frames), shrinkage))


def statistics(store: FrameStore, indices: Sequence[int], crop_frames: int | None = None) -> NDArray[np.float64]:
    """(N, 2 M) mean and standard deviation of every band, in the order of `indices`."""
    found = np.empty((len(indices), 2 * store.frames.shape[1]))
    for batch in whole_utterances(store, indices, frames_per_batch=1, crop_frames=crop_frames):
        frames = batch.features[0].double().numpy()
        found[batch.indices[0]] = np.concatenate([frames.mean(0), frames.std(0)])
    return found
