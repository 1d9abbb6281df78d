"""Validation of a model in training."""

import torch
import torch.nn.functional as F
from torch import nn

from speakerid.base.distributed import summed, world_size
from speakerid.base.progress import Progress
from speakerid.corpus.labelled import Labelled
from speakerid.metrics.classification import macro_accuracy
from speakerid.training.predict import predict_batches


def validate(model: nn.Module, valid: Labelled, frames_per_batch: int, progress: Progress) -> dict[str, float]:
    """Accuracy, macro accuracy, mean cross-entropy and number of whole utterances, computed as in inference."""
    truth = torch.tensor(valid.labels, dtype=torch.int64)
    predicted = torch.zeros_like(truth)
    loss, right, done = 0.0, 0, 0
    with progress.bar("Valid", "uttr", len(truth)) as bar:
        for rows, scores in predict_batches([model], valid.store, valid.indices, frames_per_batch):
            expected = truth[rows]
            predicted[rows] = scores.argmax(-1)
            loss += F.nll_loss(scores, expected, reduction="sum").item()
            right += int((predicted[rows] == expected).sum())
            done += len(rows)
            bar.update(len(rows) * world_size())  # the others are about as far
            if bar.due:
                bar.show(accuracy=f"{right / done:.2f}", loss=f"{loss / done:.2f}")
    predicted = summed(predicted)  # each element was filled by one process
    loss = summed(torch.tensor(loss, dtype=torch.float64)).item() / len(truth)
    right = int((predicted == truth).sum())
    return {
        "accuracy": right / len(truth),
        "macro_accuracy": macro_accuracy(predicted, truth),
        "loss": loss,
        "utterances": len(truth),
    }
