"""Turn scores into probabilities and decisions.

Shapes: N utterances of known speakers, I of strangers, R ranked speakers, L durations, A rates of false accepts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RATES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
"""Shares of strangers' utterances that are given a name, A of them; rates in between are interpolated."""
LARGEST_SCALE = 1000.0
"""Bound on the scale of standardized scores, and its inverse the other bound; beyond it the data say nothing."""
LARGEST_UNKNOWN = 10.0
"""Bound on the standardized score of a stranger."""
LARGEST_LOG_ODDS = 60.0
ROUNDING = 1e-7
"""Largest deviation of scores, as a share of their mean, that can be rounding; they are then all equal."""

Scores = NDArray[np.floating]
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Thresholds:
    """Log-odds that a name must reach, by the duration of an utterance and the rate of false accepts.

    Attributes:
        seconds: (L,) durations, ascending.
        rates: (A,) ascending.
        log_odds: (L, A).
    """

    seconds: Array
    rates: Array
    log_odds: Array

    def at(self, seconds: float | Array, false_accepts: float) -> Array:
        """Threshold at a duration, or at each of several, and a rate; linear in the logarithms of both."""
        at_rate = [np.interp(np.log(false_accepts), np.log(self.rates), row) for row in self.log_odds]
        return np.interp(np.log(seconds), np.log(self.seconds), at_rate)


@dataclass(frozen=True)
class Rule:
    """Probabilities of speakers: all ranked speakers and a stranger compete.

    P(s) = exp(a·score_s) / (Σ exp(a·score) + exp(a·b)), summed over the ranked speakers; a and b depend on the
    duration. With a single score this is logistic regression, which is what verification needs.

    Attributes:
        scale: (L,) a.
        unknown: (L,) b, the score at which a single speaker is as probable as a stranger.
        thresholds: log-odds from which a name is given; their `seconds` are also those of a and b.
    """

    scale: Array
    unknown: Array
    thresholds: Thresholds

    def log_odds(self, scores: Scores, seconds: float | Array) -> Array:
        """Convert (N, R) scores to (N, R) log-odds, log(P / (1 − P)).

        Args:
            scores: (N, R), descending.
            seconds: duration of all utterances, or (N,) durations.
        """
        unknown = np.interp(np.log(seconds), np.log(self.thresholds.seconds), self.unknown)
        return log_odds(scores, np.reshape(self.scale_at(seconds), (-1, 1)), np.reshape(unknown, (-1, 1)))

    def scale_at(self, seconds: float | Array) -> Array:
        """Scale of the scores at a duration, or at each of several."""
        return np.interp(np.log(seconds), np.log(self.thresholds.seconds), self.scale)


def log_odds(scores: Scores, scale: float | Array, unknown: float | Array) -> Array:
    """Convert (N, R) descending scores to (N, R) log-odds of each speaker against all others and a stranger.

    Args:
        scores: (N, R).
        scale, unknown: see `Rule`; one, or (N, 1).
    """
    x = scale * (scores.astype(np.float64) - unknown)
    total = np.logaddexp(np.logaddexp.reduce(x, axis=1), 0)[:, None]
    share = np.minimum(x - total, -1e-15)  # log P
    odds = share - np.log(-np.expm1(share))
    # For the most probable speaker, sum the others instead: 1 − P would be lost to rounding.
    odds[:, 0] = x[:, 0] - np.logaddexp(np.logaddexp.reduce(x[:, 1:], axis=1), 0)
    return np.clip(odds, -LARGEST_LOG_ODDS, LARGEST_LOG_ODDS)
