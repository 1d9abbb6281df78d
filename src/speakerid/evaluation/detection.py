"""How well scores tell target trials from non-target ones: DET curve, EER, minDCF, C_llr.

A trial asks whether one speaker said two things; it is accepted where its score reaches a threshold. A false accept
takes another speaker for the one asked for, a miss refuses the right one.

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
    """Both error rates at every threshold that makes a difference (Martin et al., 1997, The DET curve)."""

    thresholds: NDArray[np.floating]
    """(P,) ascending; the last is infinite and stands for accepting nothing, not even an infinite score."""
    false_accepts: NDArray[np.float64]
    """(P,) share of the non-target trials that reach the threshold: from 1 down to 0."""
    misses: NDArray[np.float64]
    """(P,) share of the target trials that do not: from 0 up to 1."""


def det_curve(scores: NDArray[np.floating], targets: NDArray[np.bool_], weights: Numbers | None = None) -> DetCurve:
    """The curve of T trials.

    Args:
        scores: (T,) larger where the speaker is more likely the same; fast where they ascend already. They may be
            infinite, but not NaN.
        targets: (T,) whether it is; at least one trial of either kind has a weight.
        weights: (T,) how often each trial counts; once by default.
    """
    assert not np.isnan(scores).any(), "scores that are not numbers have no order"
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
    """The points of a curve that no mixture of two others beats: what it is with the best recalibration.

    Isotonic regression of the answers on the scores finds them (Fawcett and Niculescu-Mizil, 2007, PAV and the ROC
    convex hull).
    """
    targets, nontargets = np.diff(curve.misses), -np.diff(curve.false_accepts)
    both = targets + nontargets
    share = isotonic_regression(targets / both, sample_weight=both)
    corners = np.flatnonzero(np.concatenate([[True], np.diff(share) != 0, [True]]))
    return DetCurve(curve.thresholds[corners], curve.false_accepts[corners], curve.misses[corners])


def equal_error_rate(curve: DetCurve) -> float:
    """Where false accepts and misses are equal on the convex hull of the curve, 0.5 at most.

    Between two corners of the hull the rates are those of accepting by the one threshold or the other at random; so the
    rate is defined where no single threshold makes both errors equal, it does not depend on how ties are broken, and it
    is never above that of a line through neighboring points (Brümmer and de Villiers, 2013, The BOSARIS toolkit).
    """
    hull = convex_hull(curve)
    return float(np.interp(0.0, hull.misses - hull.false_accepts, hull.misses))


def min_dcf(curve: DetCurve, p_target: float = 0.01, cost_miss: float = 1.0, cost_false_accept: float = 1.0) -> float:
    """The least detection cost over all thresholds, 1 for what accepts all or nothing (NIST SRE evaluation plans).

    Args:
        curve: of the trials.
        p_target: share of target trials where the system is used; NIST's are 0.01 and 0.05.
        cost_miss: of a target trial refused.
        cost_false_accept: of a non-target trial accepted.
    """
    miss, false_accept = cost_miss * p_target, cost_false_accept * (1 - p_target)
    costs = miss * curve.misses + false_accept * curve.false_accepts
    return float(costs.min() / min(miss, false_accept))


def cllr(log_ratios: NDArray[np.floating], targets: NDArray[np.bool_], weights: Numbers | None = None) -> float:
    """What log-likelihood ratios cost in bits a trial, over all thresholds: 0 is perfect, 1 knows nothing.

    It is infinite where a ratio is infinite and wrong.

    Brümmer and du Preez, 2006, Application-independent evaluation of speaker detection.

    Args:
        log_ratios: (T,) natural logarithm of how much likelier the score is of the same speaker than of others.
        targets: (T,) whether the speaker is the same; at least one trial of either kind has a weight.
        weights: (T,) how often each trial counts; once by default.
    """
    assert not np.isnan(log_ratios).any(), "a log-likelihood ratio is not a number"
    costs = np.logaddexp(0, np.where(targets, -log_ratios, log_ratios)) / math.log(2)
    weights = np.ones(len(costs)) if weights is None else weights
    means = []
    for kind in (targets, ~targets):
        counted = kind & (weights > 0)  # the others cost nothing, even infinite ones
        means.append(float(np.average(costs[counted], weights=weights[counted])))
    return sum(means) / 2


def min_cllr(curve: DetCurve) -> float:
    """`cllr` of the best log-likelihood ratios that rise with the scores: what no calibration can mend."""
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
    """False-accept and miss rate where scores that reach the threshold are accepted.

    Args:
        scores: (T,)
        targets: (T,) whether the speaker is the same; at least one trial of either kind has a weight.
        threshold: of all trials, or (T,) of each.
        weights: (T,) how often each trial counts; once by default.
    """
    accepted = scores >= threshold
    weights = np.ones(len(scores)) if weights is None else weights
    return (
        float(np.average(accepted, weights=weights * ~targets)),
        float(np.average(~accepted, weights=weights * targets)),
    )
