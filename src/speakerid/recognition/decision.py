"""From scores to a decision: how probable is a name, and from where on is it said.

Letters: N utterances of known speakers, I of strangers, R speakers ranked, L durations, A rates of false accepts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RATES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
"""A. Shares of strangers' utterances that are given a name; what is asked for between two of them is interpolated."""
LARGEST_SCALE = 1000.0
"""Of standardised scores in an exponent, and its inverse the smallest; beyond it the data did not tell."""
LARGEST_UNKNOWN = 10.0
"""Standardised score of a stranger."""
LARGEST_LOG_ODDS = 60.0
ROUNDING = 1e-7
"""Deviation of scores that may be rounding, as a share of their mean; they are then all the same."""

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
        """Of an utterance of so many seconds, interpolated in the logarithms of both."""
        by_rate = [np.interp(np.log(seconds), np.log(self.seconds), column) for column in self.log_odds.T]
        return float(np.interp(np.log(false_accepts), np.log(self.rates), by_rate))


@dataclass(frozen=True)
class Rule:
    """Who speaks, as a probability: each speaker and a stranger compete.

    P(s) = exp(a·score_s) / (Σ exp(a·score) + exp(a·b)) over the speakers ranked, with a and b by duration. With a
    single score this is logistic regression, which is what verification needs.

    Attributes:
        scale: (L,) a.
        unknown: (L,) b, the score at which a single speaker is as probable as a stranger.
        thresholds: from where on a name is said; `seconds` are those of a and b.
    """

    scale: Array
    unknown: Array
    thresholds: Thresholds

    def log_odds(self, scores: Scores, seconds: float) -> Array:
        """(N, R) scores of utterances of so many seconds to (N, R) logarithms of P / (1 − P)."""
        unknown = np.interp(np.log(seconds), np.log(self.thresholds.seconds), self.unknown)
        return log_odds(scores, float(self.scale_at(seconds)), float(unknown))

    def scale_at(self, seconds: float | Array) -> Array:
        """What a score counts in an utterance of so many seconds, or in each of several."""
        return np.interp(np.log(seconds), np.log(self.thresholds.seconds), self.scale)

    def probabilities(self, scores: Scores, seconds: float) -> Array:
        """(N, R) scores of utterances of so many seconds to (N, R) probabilities; what is left is the stranger's."""
        return 1 / (1 + np.exp(-self.log_odds(scores, seconds)))


def log_odds(scores: Scores, scale: float, unknown: float) -> Array:
    """(N, R) scores, the highest first, to (N, R) log-odds of each speaker against all others and a stranger."""
    x = scale * (scores.astype(np.float64) - unknown)
    total = np.logaddexp(np.logaddexp.reduce(x, axis=1), 0)[:, None]
    share = np.minimum(x - total, -1e-15)  # log P
    odds = share - np.log(-np.expm1(share))
    # Of the most probable speaker the others are added up, for 1 − P is lost to rounding.
    odds[:, 0] = x[:, 0] - np.logaddexp(np.logaddexp.reduce(x[:, 1:], axis=1), 0)
    return np.clip(odds, -LARGEST_LOG_ODDS, LARGEST_LOG_ODDS)


def fit_probabilities(known: Scores, right: Scores, strangers: Scores) -> tuple[float, float]:
    """The most likely a and b, with known and unknown speakers equally frequent.

    Targets are a little short of certain, as Platt (1999, Probabilistic outputs for support vector machines, section
    2.2) has them, so that few data never make a probability of 1.

    Args:
        known: (N, R) scores of known speakers' utterances.
        right: (N,) those of whoever speaks.
        strangers: (I, R) scores of strangers' utterances.
    """
    from scipy.optimize import minimize  # slow to import

    both = np.concatenate([right, strangers.max(1)]).astype(np.float64)
    middle, unit = both.mean(), both.std()  # of a model that has few recordings by heart, scores are far apart
    if unit <= ROUNDING * max(1.0, abs(middle)):
        unit = 1.0
    known, right, strangers = ((scores.astype(np.float64) - middle) / unit for scores in (known, right, strangers))
    best = strangers.max(1)
    doubt_known, doubt_strangers = 1 / (len(known) + 2), 1 / (len(strangers) + 2)

    def loss(parameters: Array) -> tuple[float, Array]:
        scale, unknown = np.exp(parameters[0]), parameters[1]
        named = (1 - doubt_known) * (right - unknown)
        nobody = doubt_strangers * (best - unknown)
        value, slope = (
            0.0,
            np.array([-scale * (named.mean() + nobody.mean()), scale * (1 - doubt_known + doubt_strangers)]),
        )
        value -= scale * (named.mean() + nobody.mean())
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
    """(A,) the lowest log-odds at which no more than a share of strangers would be given a name.

    Every stranger counts the same, however many utterances there are of each. One more stranger's utterance that
    reaches any threshold is added to those seen, so few of them lead to caution: for rates that they are too few to
    tell, the threshold is the highest value seen.

    Args:
        log_odds: (I,) of the most probable name for each stranger's utterance.
        groups: (I,) which stranger it is.
        rates: A shares.
    """
    _, group, counts = np.unique(groups, return_inverse=True, return_counts=True)
    weights = 1 / counts[group]
    order = np.argsort(-log_odds, kind="stable")
    # Accepted if the threshold is just above the value at each place.
    above = (1 / counts.mean() + np.cumsum(weights[order]) - weights[order]) / (len(counts) + 1 / counts.mean())
    values = log_odds[order]
    return np.array([values[max(0, int(np.searchsorted(above, rate, "right")) - 1)] + 1e-6 for rate in rates])
