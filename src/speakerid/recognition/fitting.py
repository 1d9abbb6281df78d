"""Fit thresholds and probabilities on the calibration set of a bundle, and estimate their error rates.

Shapes: N utterances of known speakers, I of strangers, D width of a voice print, P pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from speakerid.recognition import FALSE_ACCEPTS
from speakerid.recognition.calibration_set import CalibrationSet
from speakerid.recognition.decision import (
    LARGEST_SCALE,
    LARGEST_UNKNOWN,
    RATES,
    ROUNDING,
    Array,
    Rule,
    Scores,
    Thresholds,
    log_odds,
)
from speakerid.recognition.minimize import minimize
from speakerid.recognition.plda import Plda
from speakerid.recognition.profiles import Profiles

PAIRS = 20_000
"""Largest number of pairs of one speaker, and of two speakers; more would not improve the fit."""
FOLDS = 10


@dataclass(frozen=True)
class Expected:
    """Expected error rates of the rule for strangers that its threshold was not fitted on.

    Attributes:
        seconds: duration.
        known: number of utterances of known speakers it was fitted on.
        strangers: number of utterances of strangers.
        stranger_speakers: number of different strangers.
        false_accepts: share of strangers' utterances that are given a name where 1 % is asked for; each stranger is
            evaluated with a threshold fitted on the others.
        identified: share of known speakers' utterances that are given the right name with the same threshold. In both
            shares, utterances too short for the duration count with the share of their own duration.
    """

    seconds: float
    known: int
    strangers: int
    stranger_speakers: int
    false_accepts: float
    identified: float


def fit_identification(evidence: Sequence[CalibrationSet], profiles: Profiles) -> tuple[Rule, list[Expected]]:
    """Fit the rule that says who of the profiles speaks, or a stranger, and estimate its error rates.

    Args:
        evidence: calibration set by duration, ascending; each has utterances of known speakers.
        profiles: profiles of at least one speaker.
    """
    fitted, expected = [], []
    for some in evidence:
        known, strangers = some.score_known(profiles), some.score_strangers(profiles)
        scale, unknown = fit_probabilities(known.ranked, known.right, strangers)
        best = log_odds(strangers, scale, unknown)[:, 0]
        fitted.append((scale, unknown, thresholds_for(best, some.stranger_groups, RATES)))
        if not some.joined:
            expected.append(_expected(some, known.found, log_odds(known.ranked, scale, unknown)[:, 0], best))
    return _rule(evidence, fitted), _with_shorter_ones(expected)


def fit_verification(evidence: Sequence[CalibrationSet], plda: Plda) -> Rule | None:
    """Fit the rule that says whether two recordings are of one speaker, by `Plda.score_pairs`; None without pairs."""
    fitted = []
    for some in evidence:
        same, different, groups = _pairs(some, plda)
        if not len(same) or not len(different):
            return None
        scale, unknown = fit_probabilities(same[:, None], same, different[:, None])
        odds = log_odds(different[:, None], scale, unknown)[:, 0]
        fitted.append((scale, unknown, thresholds_for(odds, groups, RATES)))
    return _rule(evidence, fitted)


def _expected(
    evidence: CalibrationSet, found: NDArray[np.bool_], known: NDArray[np.float64], strangers: NDArray[np.float64]
) -> Expected:
    """Estimate error rates by cross-validation over strangers, see `Expected`.

    Args:
        evidence: calibration set of one duration.
        found: (N,) whether the most probable name is the right one.
        known: (N,) log-odds of the most probable name.
        strangers: (I,) log-odds of the most probable names of strangers.
    """
    groups = evidence.stranger_groups
    accepted = np.zeros(len(strangers), bool)
    named = []
    names = np.unique(groups)
    for fold in range(min(FOLDS, len(names))):
        out = np.isin(groups, names[fold::FOLDS])
        others = strangers[~out], groups[~out]
        threshold = thresholds_for(*others, [FALSE_ACCEPTS])[0] if len(others[0]) else np.inf
        accepted[out] = strangers[out] >= threshold
        named.append(float(np.mean(found & (known >= threshold))))
    by_stranger = [accepted[groups == name].mean() for name in names]
    return Expected(
        evidence.seconds, len(found), len(strangers), len(names), float(np.mean(by_stranger)), float(np.mean(named))
    )


def _with_shorter_ones(rows: Sequence[Expected]) -> list[Expected]:
    """Rows in which utterances too short for the duration count with the shares of their own duration."""
    found = []
    known = strangers = 0.0  # expected number of utterances named, among those of shorter durations
    for number, row in enumerate(rows):
        if number:
            before = rows[number - 1]
            known += (before.known - row.known) * before.identified
            strangers += (before.strangers - row.strangers) * before.false_accepts
        found.append(
            replace(
                row,
                identified=(known + row.known * row.identified) / rows[0].known,
                false_accepts=(strangers + row.strangers * row.false_accepts) / max(1, rows[0].strangers),
            )
        )
    return found


def _rule(evidence: Sequence[CalibrationSet], fitted: Sequence[tuple[float, float, NDArray[np.float64]]]) -> Rule:
    scale, unknown, thresholds = (np.array(column) for column in zip(*fitted, strict=True))
    seconds = np.array([some.seconds for some in evidence])
    return Rule(scale, unknown, Thresholds(seconds, np.array(RATES), thresholds))


def _pairs(
    evidence: CalibrationSet, plda: Plda
) -> tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.integer]]:
    """(P,) scores of pairs of one speaker, (P,) of pairs of two speakers, and one speaker of each of the latter."""
    names = [f"k {name}" for name in evidence.speakers.tolist()]
    names += [f"s {number}" for number in evidence.stranger_speakers.tolist()]
    prints = np.concatenate([evidence.known, evidence.strangers])
    _, speaker = np.unique(names, return_inverse=True)
    first, second = np.triu_indices(len(prints), 1)
    same = speaker[first] == speaker[second]
    rng = np.random.default_rng(0)

    def some(chosen: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        rows = np.flatnonzero(chosen)
        rows = rng.choice(rows, PAIRS, replace=False) if len(rows) > PAIRS else rows
        return first[rows], second[rows]

    a, b = some(same)
    c, d = some(~same)
    return plda.score_pairs(prints[a], prints[b]), plda.score_pairs(prints[c], prints[d]), speaker[c]


def fit_probabilities(known: Scores, right: Scores, strangers: Scores) -> tuple[float, float]:
    """Fit a and b by maximum likelihood, with known speakers and strangers equally frequent.

    Targets are slightly less than certain, as in Platt (1999, Probabilistic outputs for support vector machines,
    section 2.2), so that a small data set never leads to a probability of 1.

    Args:
        known: (N, R) scores of known speakers' utterances.
        right: (N,) scores of the true speakers.
        strangers: (I, R) scores of strangers' utterances.
    """
    both = np.concatenate([right, strangers.max(1)]).astype(np.float64)
    middle, unit = both.mean(), both.std()  # if a model has memorized few recordings, scores are far apart
    if unit <= ROUNDING * max(1.0, abs(middle)):
        unit = 1.0
    known, right, strangers = ((scores.astype(np.float64) - middle) / unit for scores in (known, right, strangers))
    best = strangers.max(1)
    doubt_known, doubt_strangers = 1 / (len(known) + 2), 1 / (len(strangers) + 2)

    def loss(parameters: Array) -> tuple[float, Array, Array]:
        scale, unknown = np.exp(parameters[0]), parameters[1]
        named = (1 - doubt_known) * (right - unknown)
        rejected = doubt_strangers * (best - unknown)
        value = -scale * (named.mean() + rejected.mean())
        slope = np.array([value, scale * (1 - doubt_known + doubt_strangers)])
        curvature = np.array([[slope[0], slope[1]], [slope[1], 0.0]])
        for scores in (known, strangers):
            x = scale * (scores - unknown)
            total = np.logaddexp(np.logaddexp.reduce(x, axis=1), 0)
            shares = np.exp(x - total[:, None])
            share, first, second = shares.sum(1), (shares * x).sum(1), (shares * x**2).sum(1)
            value += total.mean()
            slope += np.array([first.mean(), -scale * share.mean()])
            mixed = -scale * (share + first - share * first).mean()
            curvature += np.array(
                [[(first + second - first**2).mean(), mixed], [mixed, scale**2 * (share - share**2).mean()]]
            )
        return float(value), slope, curvature

    steepest = float(np.log(LARGEST_SCALE))
    bounds = [(-steepest, steepest), (-LARGEST_UNKNOWN, LARGEST_UNKNOWN)]
    log_scale, unknown = minimize(loss, np.array([np.log(3.0), 0.0]), bounds)
    return float(np.exp(log_scale) / unit), float(middle + unit * unknown)


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
