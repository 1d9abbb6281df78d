"""Predict accuracy for amounts of recordings that do not exist yet.

Learning curves are close to power laws (Cortes et al., 1994, Learning curves: asymptotic values and rate of
convergence), but only larger amounts show which one it is. So two are fitted, which bend differently: the error, and
the odds of an error, as a power law in the days and in the recordings per day. A prediction starts at the largest
amount that was measured. Its interval covers both laws, other speakers (a bootstrap), and deviations from the law.

Shapes: A amounts, S speakers, P predictions, R resamples.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from speakerid.evaluation.learning_curve import Amount, LearningCurve
from speakerid.metrics.bootstrap import RESAMPLES, resampled

Array = NDArray[np.float64]


def predict(
    curve: LearningCurve, amounts: Sequence[Amount], resamples: int = RESAMPLES, seed: int = 0
) -> tuple[Array, Array]:
    """Predict accuracies.

    Args:
        curve: what was measured.
        amounts: P amounts.
        resamples: number of resamples per law.
        seed: seed of the resamples.

    Returns:
        (P,) predictions, and (R, P) values whose quantiles are their intervals. Differences of the values of two
        amounts have intervals, too.
    """
    x, target = _logarithms(curve.amounts), _logarithms(amounts)
    least = 0.5 / max(1, curve.tested)
    rng, found = np.random.default_rng(seed), []
    expected = np.mean([_law(odds, x, curve.hits.mean(1), target, least)[0] for odds in (False, True)], axis=0)
    for _ in range(resamples):
        weights = resampled(np.arange(curve.hits.shape[1]), rng)
        accuracy = curve.hits @ weights / weights.sum()
        for odds in (False, True):
            values, spread = _law(odds, x, accuracy, target, least)
            moved = _link(np.clip(values, least, 1 - least), odds) + rng.normal(0, spread)
            found.append(_accuracy(moved, odds))
    return expected, np.stack(found)


def interval(values: Array) -> tuple[Array, Array]:
    """95 % interval of (R, …) values."""
    low, high = np.quantile(values, [0.025, 0.975], axis=0)
    return low, high


def _logarithms(amounts: Sequence[Amount]) -> Array:
    return np.log([[amount.days, amount.each] for amount in amounts])


def _law(odds: bool, x: Array, accuracy: Array, target: Array, least: float) -> tuple[Array, float]:
    """(P,) accuracies by one law, and the standard deviation of the (A,) measured ones from it, in its own unit."""
    y = _link(np.clip(accuracy, least, 1 - least), odds)
    slopes = _slopes(x, y)
    rest = y - x @ slopes
    spread = float(np.sqrt(((rest - rest.mean()) ** 2).sum() / max(1, len(y) - 3)))
    last = int(np.argmax(x.sum(1)))  # the amounts are a grid, so this is the largest in both
    return _accuracy(y[last] + (target - x[last]) @ slopes, odds), spread


def _slopes(x: Array, y: Array) -> Array:
    """(2,) slopes of a least-squares plane through (A, 2) logarithms; none is positive, since more cannot harm."""
    centered, rest = x - x.mean(0), y - y.mean()
    free = np.ptp(x, axis=0) > 0
    slopes = np.zeros(2)
    while free.any():
        slopes[:] = 0
        slopes[free] = np.linalg.lstsq(centered[:, free], rest, rcond=None)[0]
        if (slopes <= 0).all():
            return slopes
        free &= slopes <= 0
    return np.zeros(2)


def _link(accuracy: Array, odds: bool) -> Array:
    """Logarithm of the error, or of its odds."""
    return np.log(1 - accuracy) - (np.log(accuracy) if odds else 0)


def _accuracy(values: Array, odds: bool) -> Array:
    return np.clip(1 - (1 / (1 + np.exp(-values)) if odds else np.exp(values)), 0, 1)
