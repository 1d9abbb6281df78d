"""Measures of detection, that is, of separating target from non-target trials: DET curve, EER, minDCF, Cllr.

A trial asks whether two utterances are of the same speaker. It is accepted if its score reaches a threshold. A false
accept is an accepted non-target trial, a miss a rejected target trial.

Shapes: T trials, P points of a curve.
"""

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import rel_entr
from sklearn.isotonic import isotonic_regression

Numbers: TypeAlias = NDArray[np.floating | np.integer]


@dataclass(frozen=True)
class DetCurve:
    """Both error rates at every distinct threshold (Martin et al., 1997, The DET curve)."""

    thresholds: NDArray[np.floating]
    """(P,) ascending; the last is infinite and accepts nothing, not even an infinite score."""
    false_accepts: NDArray[np.float64]
    """(P,) share of the non-target trials that reach the threshold: from 1 down to 0."""
    misses: NDArray[np.float64]
    """(P,) share of the target trials that do not reach it: from 0 up to 1."""


def det_curve(scores: NDArray[np.floating], targets: NDArray[np.bool_], weights: Numbers | None = None) -> DetCurve:
    """DET curve of T trials.

    Args:
        scores: (T,) larger if the speakers are more likely the same; may be infinite, but not NaN. Sorted scores are
            faster.
        targets: (T,) whether the speakers are the same; both kinds need a trial of positive weight.
        weights: (T,) weight of each trial; by default all are 1.
    """
    assert not np.isnan(scores).any(), "scores contain NaN"
    order = np.argsort(scores, kind="stable")
    if weights is not None:
        order = order[weights[order] > 0]
    scores, targets = scores[order], targets[order]
    weights = np.ones(len(scores)) if weights is None else weights[order]
    ends = np.flatnonzero(np.append(scores[1:] != scores[:-1], True))
    missed, refused = (np.append(0, np.cumsum(weights * kind)[ends]) for kind in (targets, ~targets))
    assert missed[-1] > 0, "no target trials"
    assert refused[-1] > 0, "no non-target trials"
    thresholds = np.append(scores[ends], np.inf)
    return DetCurve(thresholds, (refused[-1] - refused) / refused[-1], missed / missed[-1])


def convex_hull(curve: DetCurve) -> DetCurve:
    """Corners of the convex hull of a curve, which is the curve after optimal recalibration.

    They are found by isotonic regression of the targets on the scores (Fawcett and Niculescu-Mizil, 2007, PAV and the
    ROC convex hull).
    """
    targets, nontargets = np.diff(curve.misses), -np.diff(curve.false_accepts)
    both = targets + nontargets
    share = isotonic_regression(targets / both, sample_weight=both)
    corners = np.flatnonzero(np.concatenate([[True], np.diff(share) != 0, [True]]))
    return DetCurve(curve.thresholds[corners], curve.false_accepts[corners], curve.misses[corners])


def equal_error_rate(curve: DetCurve) -> float:
    """EER: the rate at which false accepts and misses are equal on the convex hull of the curve, at most 0.5.

    Between two corners of the hull the rates are those of choosing one of two thresholds at random. So the EER is
    defined even if no single threshold makes both errors equal, does not depend on how ties are broken, and is never
    above that of linear interpolation of the curve (Brümmer and de Villiers, 2013, The BOSARIS toolkit).
    """
    hull = convex_hull(curve)
    return float(np.interp(0.0, hull.misses - hull.false_accepts, hull.misses))


def min_dcf(curve: DetCurve, p_target: float = 0.01, cost_miss: float = 1.0, cost_false_accept: float = 1.0) -> float:
    """minDCF: the lowest detection cost over all thresholds, normalized (NIST SRE evaluation plans).

    The cost is 1 for a system that accepts everything or nothing, whichever is cheaper.

    Args:
        curve: DET curve of the trials.
        p_target: prior probability of target trials; 0.01 and 0.05 at NIST.
        cost_miss: cost of a miss.
        cost_false_accept: cost of a false accept.
    """
    miss, false_accept = cost_miss * p_target, cost_false_accept * (1 - p_target)
    costs = miss * curve.misses + false_accept * curve.false_accepts
    return float(costs.min() / min(miss, false_accept))


def cllr(log_ratios: NDArray[np.floating], targets: NDArray[np.bool_], weights: Numbers | None = None) -> float:
    """Cllr: cost of log-likelihood ratios in bits per trial, over all thresholds: 0 is perfect, 1 is uninformative.

    It is infinite if a ratio is infinite and wrong.

    Brümmer and du Preez, 2006, Application-independent evaluation of speaker detection.

    Args:
        log_ratios: (T,) natural log-likelihood ratios of the same speaker against different speakers.
        targets: (T,) whether the speakers are the same; both kinds need a trial of positive weight.
        weights: (T,) weight of each trial; by default all are 1.
    """
    assert not np.isnan(log_ratios).any(), "log-likelihood ratios contain NaN"
    costs = np.logaddexp(0, np.where(targets, -log_ratios, log_ratios)) / math.log(2)
    weights = np.ones(len(costs)) if weights is None else weights
    means = []
    for kind in (targets, ~targets):
        counted = kind & (weights > 0)  # the others are ignored, even infinite ones
        means.append(float(np.average(costs[counted], weights=weights[counted])))
    return sum(means) / 2


def min_cllr(curve: DetCurve) -> float:
    """`cllr` of the best log-likelihood ratios that increase with the scores, that is, after perfect calibration."""
    hull = convex_hull(curve)
    targets, nontargets = np.diff(hull.misses), -np.diff(hull.false_accepts)
    both = targets + nontargets  # between two corners the ratio is targets / nontargets
    return float(-(rel_entr(targets, both) + rel_entr(nontargets, both)).sum() / (2 * math.log(2)))


def error_rates(
    scores: NDArray[np.floating],
    targets: NDArray[np.bool_],
    threshold: float | NDArray[np.floating],
    weights: Numbers | None = None,
) -> tuple[float, float]:
    """False-accept and miss rate if scores that reach the threshold are accepted.

    Args:
        scores: (T,).
        targets: (T,) whether the speakers are the same; both kinds need a trial of positive weight.
        threshold: a threshold for all trials, or (T,) one for each.
        weights: (T,) weight of each trial; by default all are 1.
    """
    accepted = scores >= threshold
    weights = np.ones(len(scores)) if weights is None else weights
    return (
        float(np.average(accepted, weights=weights * ~targets)),
        float(np.average(~accepted, weights=weights * targets)),
    )
