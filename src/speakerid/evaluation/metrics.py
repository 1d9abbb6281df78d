"""How often a classifier is right.

Shapes: N utterances.
"""

import math

import torch
from torch import Tensor

Z = 1.96
"""Standard deviations that hold 95 % of a normal distribution on both sides of its mean."""


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


def wilson_interval(accuracy: float, count: int) -> tuple[float, float]:
    """Where the accuracy lies with a confidence of 95 %, as far as `count` utterances can tell (Wilson, 1927).

    It takes the utterances to be independent, so of few speakers or sessions it promises too much. Without utterances
    it is 0 to 1.
    """
    if not count:
        return 0.0, 1.0
    centre = (accuracy + Z**2 / (2 * count)) / (1 + Z**2 / count)
    half = Z / (1 + Z**2 / count) * math.sqrt(accuracy * (1 - accuracy) / count + Z**2 / (4 * count**2))
    return max(0.0, centre - half), min(1.0, centre + half)
