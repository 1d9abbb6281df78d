"""k-means with weights in NumPy, so that enrollment needs neither scikit-learn nor SciPy, which are 200 MB.

Shapes: P points, D width, K means, R restarts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RESTARTS = 8
"""Number of initializations, of which the best result counts."""
ITERATIONS = 100
"""Largest number of iterations; they end earlier if no point changes its group."""

Array = NDArray[np.float64]


def k_means(points: Array, weights: NDArray[np.integer], count: int) -> tuple[Array, NDArray[np.int64]]:
    """Find K means with a small sum of squared distances to the nearest (Lloyd, 1982); the result is deterministic.

    Args:
        points: (P, D) distinct points, at least K.
        weights: (P,) weight of each, positive.
        count: K.

    Returns:
        (K, D) means, and (P,) index of each point's mean; every mean has a point.
    """
    rng = np.random.default_rng(0)
    means = points[np.stack([_spread(points, weights, count, rng) for _ in range(RESTARTS)])]
    distances = _squared_distances(points, means)
    groups = distances.argmin(2)
    for _ in range(ITERATIONS):
        shares = weights[:, None] * (groups[..., None] == np.arange(count))  # (R, P, K)
        sizes = shares.sum(1)[..., None]
        # A mean without points stays where it is.
        means = np.where(sizes > 0, shares.transpose(0, 2, 1) @ points / np.maximum(sizes, 1), means)
        former, distances = groups, _squared_distances(points, means)
        groups = distances.argmin(2)
        if (groups == former).all():
            break
    filled = np.array([len(np.unique(found)) == count for found in groups])
    inertia = (weights * distances.min(2)).sum(1)
    best = int(np.where(filled | ~filled.any(), inertia, np.inf).argmin())
    return means[best], groups[best]


def _spread(points: Array, weights: NDArray[np.integer], count: int, rng: np.random.Generator) -> list[int]:
    """Indices of K points far from one another (k-means++, Arthur and Vassilvitskii, 2007)."""
    chosen = [int(rng.choice(len(points), p=weights / weights.sum()))]
    while len(chosen) < count:
        apart = ((points[:, None] - points[chosen]) ** 2).sum(2)  # exactly 0 for the chosen alone
        nearest = weights * apart.min(1)
        chosen.append(int(rng.choice(len(points), p=nearest / nearest.sum())))
    return chosen


def _squared_distances(points: Array, means: Array) -> Array:
    """(R, P, K) squared distances of (P, D) points from (R, K, D) means."""
    products = points @ means.transpose(0, 2, 1)
    return np.maximum((points**2).sum(1)[:, None] - 2 * products + (means**2).sum(2)[:, None], 0)
