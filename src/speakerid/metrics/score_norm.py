"""Adaptive score normalization, so that scores of all speakers and utterances are comparable.

Shapes: N utterances or profiles, C members of the cohort, T trials.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

TOP_K = 200
"""Number of nearest cohort members for each side of a trial; Matějka et al. recommend 200 to 500."""
NARROWEST = 1e-6
"""Lower bound of a cohort's standard deviation, to avoid division by zero."""


class TopCohort:
    """Statistics of the scores of the nearest cohort members, for each of N utterances.

    Args:
        scores: (N, C) scores of every utterance, or profile, against every member of the cohort; C is at least 2.
        top_k: number of highest scores per row to use; at most C - 1, so that one can be left out.
    """

    def __init__(self, scores: NDArray[np.floating], top_k: int = TOP_K) -> None:
        assert scores.shape[1] >= 2, "a cohort needs two members"
        self._scores = scores.astype(np.float64)
        self._k = min(top_k, scores.shape[1] - 1)
        top = -np.sort(-np.partition(self._scores, -self._k - 1, axis=1)[:, -self._k - 1 :], axis=1)
        self._center = top[:, : self._k].mean(1)
        self._lowest, self._next = top[:, self._k - 1], top[:, self._k]
        # Centered, so that the square of the mean does not swamp the variance.
        self._squares = ((top[:, : self._k] - self._center[:, None]) ** 2).sum(1)

    def statistics(
        self, rows: NDArray[np.integer], left_out: NDArray[np.integer] | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation over the nearest members.

        Args:
            rows: (…) rows of the scores.
            left_out: (…) member to leave out for each row, such as the claimed speaker; negative for none.
        """
        center, squares = self._center[rows], self._squares[rows]
        if left_out is None:
            return center, _deviation(squares / self._k)
        left_out_scores = self._scores[rows, np.maximum(left_out, 0)]
        is_near = (left_out >= 0) & (left_out_scores >= self._lowest[rows])
        # If one of the nearest is left out, the next one takes its place.
        shift = np.where(is_near, self._next[rows] - left_out_scores, 0.0) / self._k
        change = (self._next[rows] - center) ** 2 - (left_out_scores - center) ** 2
        squares = squares + np.where(is_near, change, 0.0)
        return center + shift, _deviation(squares / self._k - shift**2)


def adaptive_s_norm(
    scores: NDArray[np.floating],
    *sides: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> NDArray[np.float64]:
    """AS-norm (Matějka et al., 2017, Analysis of score normalization in multilingual speaker recognition, AS-norm 1).

    The score is standardized with the scores of the cohort members nearest to each side of the trial, and the results
    for both sides are averaged.

    Args:
        scores: (T,) or any shape.
        sides: mean and standard deviation of the cohort scores of the enrollment and of the test side, from
            `TopCohort.statistics`; they broadcast to the shape of the scores.
    """
    normed: Sequence[NDArray[np.float64]] = [(scores - mean) / deviation for mean, deviation in sides]
    return np.mean(normed, axis=0)


def _deviation(variance: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sqrt(np.maximum(variance, NARROWEST**2))
