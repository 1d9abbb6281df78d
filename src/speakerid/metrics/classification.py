"""Accuracy of a classifier.

Shapes: N utterances.
"""

import math

import torch
from torch import Tensor

Z = 1.96
"""Half-width of the central 95 % of a normal distribution, in standard deviations."""


def accuracy(predicted: Tensor, labels: Tensor) -> float:
    """Share of the (N,) utterances whose predicted class is their label."""
    return (predicted == labels).double().mean().item()


def macro_accuracy(predicted: Tensor, labels: Tensor) -> float:
    """Mean of the accuracies of the speakers among the (N,) labels, so that every speaker has the same weight."""
    right = (predicted == labels).double()
    counts = torch.bincount(labels)
    hits = torch.bincount(labels, weights=right)
    present = counts > 0
    return (hits[present] / counts[present]).mean().item()


def wilson_interval(accuracy: float, count: int) -> tuple[float, float]:
    """95 % confidence interval of an accuracy measured on `count` utterances (Wilson, 1927).

    It assumes independent utterances, so it is too narrow for few speakers or sessions. Without utterances it is 0
    to 1.
    """
    if not count:
        return 0.0, 1.0
    center = (accuracy + Z**2 / (2 * count)) / (1 + Z**2 / count)
    half = Z / (1 + Z**2 / count) * math.sqrt(accuracy * (1 - accuracy) / count + Z**2 / (4 * count**2))
    return max(0.0, center - half), min(1.0, center + half)
