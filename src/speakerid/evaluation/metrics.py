"""How often a classifier is right.

Letters: N utterances.
"""

import torch
from torch import Tensor


def accuracy(predicted: Tensor, labels: Tensor) -> float:
    """Share of the (N,) utterances whose predicted class is their label."""
    return (predicted == labels).double().mean().item()


def macro_accuracy(predicted: Tensor, labels: Tensor) -> float:
    """Accuracy of each speaker that occurs among the (N,) labels, averaged: every speaker counts the same."""
    right = (predicted == labels).double()
    counts = torch.bincount(labels)
    hits = torch.bincount(labels, weights=right)
    present = counts > 0
    return (hits[present] / counts[present]).mean().item()
