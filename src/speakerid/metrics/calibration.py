"""Calibration of probabilities.

Shapes: T trials, B bins.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speakerid.metrics.detection import Numbers


@dataclass(frozen=True)
class Reliability:
    """Reliability diagram: trials in bins of equal width (Guo et al., 2017, On calibration of modern networks)."""

    edges: NDArray[np.float64]
    """(B + 1,) from 0 to 1; a bin includes its lower edge, the last one both edges."""
    counts: NDArray[np.float64]
    """(B,) total weight of the trials."""
    predicted: NDArray[np.float64]
    """(B,) mean probability; NaN in an empty bin."""
    observed: NDArray[np.float64]
    """(B,) share of positive outcomes; NaN in an empty bin."""

    @property
    def expected_calibration_error(self) -> float:
        """Mean absolute difference between predicted and observed, over the trials."""
        filled = self.counts > 0
        gaps = np.abs(self.predicted - self.observed)[filled]
        return float(np.average(gaps, weights=self.counts[filled]))


def reliability(
    probabilities: NDArray[np.floating], outcomes: NDArray[np.bool_], weights: Numbers | None = None, bins: int = 10
) -> Reliability:
    """Compare predicted probabilities with outcomes.

    Args:
        probabilities: (T,) from 0 to 1.
        outcomes: (T,) whether the predicted event occurred.
        weights: (T,) weight of each trial, not all 0; by default all are 1.
        bins: B.
    """
    edges = np.linspace(0, 1, bins + 1)
    bin_of_trial = np.searchsorted(edges[1:-1], probabilities, "right")
    weights = np.ones(len(bin_of_trial)) if weights is None else weights
    counts = np.bincount(bin_of_trial, weights, bins).astype(np.float64)
    sums = (np.bincount(bin_of_trial, weights * column, bins) for column in (probabilities, outcomes))
    means = [np.divide(total, counts, out=np.full(bins, np.nan), where=counts > 0) for total in sums]
    return Reliability(edges, counts, *means)
