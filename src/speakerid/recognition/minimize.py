"""Minimize a smooth function of a few parameters within bounds, so that enrollment does not need SciPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

ITERATIONS = 100
TOLERANCE = 1e-7
"""Length of a step that ends the search; the next would be about as long as its square."""

Array = NDArray[np.float64]
Loss = Callable[[Array], tuple[float, Array, Array]]
"""Value, (N,) gradient and (N, N) second derivatives at (N,) parameters."""


def minimize(loss: Loss, start: Array, bounds: Sequence[tuple[float, float]]) -> Array:
    """Minimum by Newton steps, damped until they descend (Levenberg, 1944; Marquardt, 1963) and cut at the bounds.

    Args:
        loss: the function.
        start: (N,) parameters within the bounds.
        bounds: lowest and highest value of each parameter.

    Returns:
        (N,) parameters of a local minimum.
    """
    lowest, highest = (np.array(side) for side in zip(*bounds, strict=True))
    x, damping = start.astype(np.float64), 1e-3
    value, slope, curvature = loss(x)
    for _ in range(ITERATIONS):
        new = np.clip(x + _step(slope, curvature, damping, x <= lowest, x >= highest), lowest, highest)
        moved = float(np.abs(new - x).max())
        found = loss(new)
        if found[0] <= value:
            x, (value, slope, curvature), damping = new, found, damping / 10
        else:
            damping = max(1e-9, 10 * damping)
        if moved < TOLERANCE:
            break
    return x


def _step(
    slope: Array, curvature: Array, damping: float, at_lowest: NDArray[np.bool_], at_highest: NDArray[np.bool_]
) -> Array:
    """(N,) step that descends; zero where a bound is in the way."""
    free = ~(at_lowest & (slope > 0) | at_highest & (slope < 0))
    values, axes = np.linalg.eigh(curvature[np.ix_(free, free)])
    # Where the function curves downward, a step against the gradient still descends.
    lengths = np.abs(values) + damping * max(1e-12, float(np.abs(values).max(initial=0)))
    step = np.zeros_like(slope)
    step[free] = -axes @ ((axes.T @ slope[free]) / lengths)
    return step
