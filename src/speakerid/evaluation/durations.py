"""Accuracy at several durations, with the linear baseline.

Shapes: N utterances.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from speakerid.corpus.labelled import Labelled
from speakerid.evaluation.baseline import linear_baseline
from speakerid.metrics.classification import accuracy, macro_accuracy
from speakerid.training.batches import Crops
from speakerid.training.predict import predict


@dataclass(frozen=True)
class Row:
    """A row of the table."""

    duration: str
    accuracy: float
    macro_accuracy: float
    baseline: float
    """Macro accuracy of the linear baseline."""


def evaluate(
    models: Sequence[nn.Module],
    train: Labelled,
    test: Labelled,
    durations: Sequence[int | None],
    frames_per_batch: int,
    frames_per_second: float,
    crops: Crops | None = None,
) -> list[Row]:
    """Evaluate an ensemble and the linear baseline at several durations, a row for each.

    Args:
        models: models of the ensemble, with the same speakers.
        train: utterances that the baseline is fitted on.
        test: utterances to classify.
        durations: number of frames taken from the middle of each test utterance; None for all of them.
        frames_per_batch: bound on the padded frames of a batch.
        frames_per_second: frame rate of the features, to name the durations.
        crops: crops for the models, see `predict_batches`; the baseline does not use them.
    """
    labels = torch.tensor(test.labels)
    rows = []
    for frames in durations:
        predicted = predict(models, test.store, test.indices, frames_per_batch, frames, crops).argmax(-1)
        linear = linear_baseline(
            train.store, train.indices, train.labels, test.store, test.indices, frames, train.sessions
        )
        name = "whole" if frames is None else f"{frames / frames_per_second:g} s"
        rows.append(
            Row(name, accuracy(predicted, labels), macro_accuracy(predicted, labels), macro_accuracy(linear, labels))
        )
    return rows
