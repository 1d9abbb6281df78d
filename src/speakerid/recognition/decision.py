"""Turn scores into probabilities and decisions.

Shapes: N utterances of known speakers, I of strangers, R ranked speakers, L durations, A rates of false accepts.
"""

from __future__ import annotations

from collections.abc import Sequence
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

    def at(self, seconds: float, false_accepts: float) -> float:
        """Threshold at a duration and rate, interpolated linearly in the logarithms of both."""
        by_rate = [np.interp(np.log(seconds), np.log(self.seconds), column) for column in self.log_odds.T]
        return float(np.interp(np.log(false_accepts), np.log(self.rates), by_rate))


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

    def log_odds(self, scores: Scores, seconds: float) -> Array:
        """Convert (N, R) scores of utterances of one duration to (N, R) log-odds, log(P / (1 − P))."""
        unknown = np.interp(np.log(seconds), np.log(self.thresholds.seconds), self.unknown)
        return log_odds(scores, float(self.scale_at(seconds)), float(unknown))

    def scale_at(self, seconds: float | Array) -> Array:
        """Scale of the scores at a duration, or at each of several."""
        return np.interp(np.log(seconds), np.log(self.thresholds.seconds), self.scale)


def log_odds(scores: Scores, scale: float, unknown: float) -> Array:
    """Convert (N, R) descending scores to (N, R) log-odds of each speaker against all others and a stranger."""
    x = scale * (scores.astype(np.float64) - unknown)
    total = np.logaddexp(np.logaddexp.reduce(x, axis=1), 0)[:, None]
    share = np.minimum(x - total, -1e-15)  # log P
    odds = share - np.log(-np.expm1(share))
    # For the most probable speaker, sum the others instead: 1 − P would be lost to rounding.
    odds[:, 0] = x[:, 0] - np.logaddexp(np.logaddexp.reduce(x[:, 1:], axis=1), 0)
    return np.clip(odds, -LARGEST_LOG_ODDS, LARGEST_LOG_ODDS)


def fit_probabilities(known: Scores, right: Scores, strangers: Scores) -> tuple[float, float]:
    """Fit a and b by maximum likelihood, with known speakers and strangers equally frequent.

    Targets are slightly less than certain, as in Platt (1999, Probabilistic outputs for support vector machines,
    section 2.2), so that a small data set never leads to a probability of 1.

    Args:
        known: (N, R) scores of known speakers' utterances.
        right: (N,) scores of the true speakers.
        strangers: (I, R) scores of strangers' utterances.
    """
    from scipy.optimize import minimize  # slow to import

    both = np.concatenate([right, strangers.max(1)]).astype(np.float64)
    middle, unit = both.mean(), both.std()  # if a model has memorized few recordings, scores are far apart
    if unit <= ROUNDING * max(1.0, abs(middle)):
        unit = 1.0
    known, right, strangers = ((scores.astype(np.float64) - middle) / unit for scores in (known, right, strangers))
    best = strangers.max(1)
    doubt_known, doubt_strangers = 1 / (len(known) + 2), 1 / (len(strangers) + 2)

    def loss(parameters: Array) -> tuple[float, Array]:
        scale, unknown = np.exp(parameters[0]), parameters[1]
        named = (1 - doubt_known) * (right - unknown)
        rejected = doubt_strangers * (best - unknown)
        value, slope = (
            0.0,
            np.array([-scale * (named.mean() + rejected.mean()), scale * (1 - doubt_known + doubt_strangers)]),
        )
        value -= scale * (named.mean() + rejected.mean())
        for scores in (known, strangers):
            x = scale * (scores - unknown)
            total = np.logaddexp(np.logaddexp.reduce(x, axis=1), 0)
            shares = np.exp(x - total[:, None])
            value += total.mean()
            slope += np.array([(shares * x).sum(1).mean(), -scale * shares.sum(1).mean()])
        return float(value), slope

    steepest = float(np.log(LARGEST_SCALE))
    bounds = [(-steepest, steepest), (-LARGEST_UNKNOWN, LARGEST_UNKNOWN)]
    found = minimize(loss, np.array([np.log(3.0), 0.0]), jac=True, method="L-BFGS-B", bounds=bounds)
    return float(np.exp(found.x[0]) / unit), float(middle + unit * found.x[1])


def thresholds_for(log_odds: Array, groups: NDArray[np.integer], rates: Sequence[float]) -> Array:
    """(A,) lowest log-odds at which at most the given shares of strangers would be given a name.

    All strangers have the same weight, whatever their numbers of utterances. One more utterance, which passes every
    threshold, is added to those observed, so that few of them lead to caution: for rates that they cannot resolve, the
    threshold is the highest value observed.

    Args:
        log_odds: (I,) log-odds of the most probable name for each stranger's utterance.
        groups: (I,) index of the stranger.
        rates: A shares.
    """
    _, group, counts = np.unique(groups, return_inverse=True, return_counts=True)
    weights = 1 / counts[group]
    order = np.argsort(-log_odds, kind="stable")
    # Share accepted if the threshold is just above each value.
    above = (1 / counts.mean() + np.cumsum(weights[order]) - weights[order]) / (len(counts) + 1 / counts.mean())
    values = log_odds[order]
    return np.array([values[max(0, int(np.searchsorted(above, rate, "right")) - 1)] + 1e-6 for rate in rates])
