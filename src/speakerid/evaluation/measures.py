"""Figures with confidence intervals from scores of utterances against known speakers and of pairs of utterances.

Shapes: N utterances of known speakers, I of strangers, S known speakers, T trials.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from speakerid.evaluation.results import (
    ACCEPTED,
    CLLR,
    DIR,
    ECE,
    EER,
    IDENTIFIED,
    MACRO,
    MIN_CLLR,
    MIN_DCF_1,
    MIN_DCF_5,
    MISSED,
    NAMED_STRANGERS,
    TOP_1,
    TOP_5,
    Confusions,
    Estimate,
    Measure,
    Row,
)
from speakerid.metrics.bootstrap import RESAMPLES, bootstrap_interval
from speakerid.metrics.calibration import Reliability, reliability
from speakerid.metrics.detection import (
    Numbers,
    cllr,
    det_curve,
    equal_error_rate,
    error_rates,
    min_cllr,
    min_dcf,
)
from speakerid.metrics.open_set import Answers, open_set_curve, open_set_rates
from speakerid.recognition import FALSE_ACCEPTS

MOST_TRIALS = 200_000
"""Largest number of trials of an utterance and a speaker, so that 500 resamples take seconds."""
MOST_CONFUSED = 12
"""Largest number of speakers in the confusion matrix."""


@dataclass(frozen=True, eq=False)
class Scored:
    """Scores of utterances against every known speaker."""

    known: NDArray[np.floating]
    """(N, S) scores of known speakers' utterances, N and S at least 1."""
    labels: NDArray[np.integer]
    """(N,) their speakers."""
    strangers: NDArray[np.floating]
    """(I, S) scores of strangers' utterances."""
    stranger_speakers: NDArray[np.integer]
    """(I,) which stranger each utterance is of."""

    @property
    def answers(self) -> Answers:
        return Answers.of(self.known, self.labels, self.strangers)

    def of(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> "Scored":
        """Restrict to some of the known speakers' utterances."""
        return replace(self, known=self.known[rows], labels=self.labels[rows])

    def trials(self, seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(T,) utterances and (T,) speakers: all pairs, or if these are too many, the true pairs and some others."""
        count, speakers = self.known.shape
        others = speakers - 1
        if count * speakers > MOST_TRIALS:
            others = min(others, max(1, MOST_TRIALS // count - 1))
        away = np.append(0, 1 + np.random.default_rng(seed).choice(max(1, speakers - 1), others, replace=False))
        return np.arange(count).repeat(len(away)), ((self.labels[:, None] + away) % speakers).ravel()

    def ordered_trials(self) -> tuple[NDArray[np.floating], NDArray[np.bool_], NDArray[np.int64]]:
        """(T,) scores in ascending order, whether each is of the right speaker, and its utterance."""
        utterances, speakers = self.trials()
        scores = self.known[utterances, speakers]
        order = np.argsort(scores, kind="stable")
        return scores[order], (speakers == self.labels[utterances])[order], utterances[order]


@dataclass(frozen=True, eq=False)
class Decided:
    """Decisions of the recognizer: log-odds of its answers, and the thresholds at which it gives a name."""

    answers: Answers
    """With log-odds instead of scores."""
    thresholds: NDArray[np.floating]
    """(N,) thresholds of the known speakers' utterances."""
    stranger_thresholds: NDArray[np.floating]
    """(I,) thresholds of the strangers' utterances."""

    def of(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> "Decided":
        """Restrict to some of the known speakers' utterances."""
        answers = replace(self.answers, known=self.answers.known[rows], right=self.answers.right[rows])
        return replace(self, answers=answers, thresholds=self.thresholds[rows])

    def reliability(self, known: Numbers | None = None, strangers: Numbers | None = None) -> Reliability:
        """Reliability of the probabilities if known speakers and strangers are equally frequent.

        Args:
            known: (N,) weight of each known speaker's utterance, not all 0; by default all are 1.
            strangers: (I,) weight of each stranger's utterance, not all 0; by default all are 1.
        """
        known = np.ones(len(self.answers.known)) if known is None else known
        strangers = np.ones(len(self.answers.strangers)) if strangers is None else strangers
        odds = np.concatenate([self.answers.known, self.answers.strangers])
        right = np.append(self.answers.right, np.zeros(len(strangers), bool))
        return reliability(expit(odds), right, np.append(known, strangers * (known.sum() / strangers.sum())))


Statistic = Callable[[Numbers, Numbers], Mapping[Measure, float]]
"""Measures as a function of the weights of the known speakers' and of the strangers' utterances."""


def identification_row(name: str, scored: Scored, decided: Decided | None = None, resamples: int = RESAMPLES) -> Row:
    """Figures of open-set identification: which known speaker is it, or none of them?

    Args:
        name: name of the row.
        scored: scores of every utterance against every known speaker.
        decided: decisions of the recognizer; without them, utterances are ranked by score and no threshold applies.
        resamples: number of resamples for the intervals.
    """
    right = scored.known.argmax(1) == scored.labels
    own = np.take_along_axis(scored.known, scored.labels[:, None], 1)
    among_five = (scored.known > own).sum(1) < 5
    sizes = np.bincount(scored.labels)[scored.labels]
    scores, targets, utterances = scored.ordered_trials()
    answers = decided.answers if decided else scored.answers

    def statistic(known: Numbers, strangers: Numbers) -> Mapping[Measure, float]:
        found = {
            TOP_1: float(np.average(right, weights=known)),
            MACRO: float(np.average(right, weights=known / sizes)),
        }
        if scored.known.shape[1] > 5:
            found[TOP_5] = float(np.average(among_five, weights=known))
        if scored.known.shape[1] > 1:
            found |= detection(scores, targets, known[utterances])
        if len(strangers):
            found[DIR] = open_set_curve(answers, known, strangers).identified_at(FALSE_ACCEPTS)
        return found | (_decisions(decided, known, strangers) if decided else {})

    values = statistic(np.ones(len(scored.known)), np.ones(len(scored.strangers)))
    bounds = bootstrap_interval(
        lambda known, strangers: list(statistic(known, strangers).values()),
        scored.labels,
        scored.stranger_speakers,
        resamples=resamples,
    )
    return Row(name, f"{len(scored.known):,}", _estimates(values, bounds))


def _decisions(decided: Decided, known: Numbers, strangers: Numbers) -> dict[Measure, float]:
    """Figures at the recognizer's own thresholds, and of its probabilities."""
    answers = decided.answers
    if not len(strangers):
        return {IDENTIFIED: float(np.average(answers.right & (answers.known >= decided.thresholds), weights=known))}
    named, identified = open_set_rates(answers, decided.thresholds, decided.stranger_thresholds, known, strangers)
    calibration = decided.reliability(known, strangers).expected_calibration_error
    return {NAMED_STRANGERS: named, IDENTIFIED: identified, ECE: calibration}


@dataclass(frozen=True, eq=False)
class ScoredPairs:
    """Scores of verification trials."""

    scores: NDArray[np.floating]
    """(T,)"""
    targets: NDArray[np.bool_]
    """(T,) whether both utterances are of the same speaker; some of each kind."""
    first: NDArray[np.integer]
    """(T,) enrolled utterances."""
    second: NDArray[np.integer]
    """(T,) test utterances."""
    log_ratios: NDArray[np.floating] | None = None
    """(T,) natural log-likelihood ratios, if the scores are calibrated."""
    thresholds: NDArray[np.floating] | None = None
    """(T,) log-likelihood ratios from which a trial is accepted."""

    def ascending(self) -> "ScoredPairs":
        """The trials sorted by score."""
        order = np.argsort(self.scores, kind="stable")
        return replace(self, **{name: column[order] for name, column in vars(self).items() if column is not None})

    def reliability(self, weights: Numbers | None = None) -> Reliability:
        """Reliability of the probabilities if both kinds of trials are equally frequent.

        Args:
            weights: (T,) weight of each trial, not all 0 for either kind; by default all are 1.
        """
        assert self.log_ratios is not None
        weights = np.ones(len(self.targets)) if weights is None else weights
        balance = np.where(self.targets, 1 / weights[self.targets].sum(), 1 / weights[~self.targets].sum())
        return reliability(expit(self.log_ratios), self.targets, weights * balance)


def verification_row(name: str, pairs: ScoredPairs, speakers: NDArray[np.integer], resamples: int = RESAMPLES) -> Row:
    """Figures of verification: are both utterances of the same speaker?

    In a resample, the weight of a trial is the product of the counts of its utterances (Poh and Bengio, 2007).

    Args:
        name: name of the row.
        pairs: the trials.
        speakers: (N,) speakers of all utterances.
        resamples: number of resamples for the intervals.
    """
    pairs = pairs.ascending()
    ratios, thresholds = pairs.log_ratios, pairs.thresholds

    def statistic(weights: Numbers) -> dict[Measure, float]:
        found = detection(pairs.scores, pairs.targets, weights)
        if ratios is not None:
            calibration = pairs.reliability(weights).expected_calibration_error
            found |= {CLLR: cllr(ratios, pairs.targets, weights), ECE: calibration}
        if ratios is not None and thresholds is not None:
            found[ACCEPTED], found[MISSED] = error_rates(ratios, pairs.targets, thresholds, weights)
        return found

    values = statistic(np.ones(len(pairs.targets)))

    def resampled(counts: Numbers) -> list[float]:
        weights = counts[pairs.first] * counts[pairs.second]
        both = weights[pairs.targets].any() and weights[~pairs.targets].any()
        return list(statistic(weights).values()) if both else [math.nan] * len(values)

    bounds = bootstrap_interval(resampled, speakers, resamples=resamples)
    return Row(name, f"{pairs.targets.sum():,} + {(~pairs.targets).sum():,}", _estimates(values, bounds))


def detection(
    scores: NDArray[np.floating], targets: NDArray[np.bool_], weights: Numbers | None = None
) -> dict[Measure, float]:
    """Detection measures of (T,) trials; see `det_curve` for the arguments."""
    curve = det_curve(scores, targets, weights)
    return {
        EER: equal_error_rate(curve),
        MIN_DCF_1: min_dcf(curve, 0.01),
        MIN_DCF_5: min_dcf(curve, 0.05),
        MIN_CLLR: min_cllr(curve),
    }


def _estimates(
    values: Mapping[Measure, float], bounds: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> dict[Measure, Estimate]:
    figures = zip(values.items(), *(bound.tolist() for bound in bounds), strict=True)
    return {measure: Estimate(value, low, high) for (measure, value), low, high in figures}


def confusions(labels: NDArray[np.integer], named: NDArray[np.integer], speakers: Sequence[str]) -> Confusions | None:
    """Confusion matrix of the speakers that are confused most often; None if none is confused.

    Args:
        labels: (N,) true speakers.
        named: (N,) predicted speakers.
        speakers: S names.
    """
    wrong = labels != named
    pairs = Counter(tuple(sorted(pair)) for pair in zip(labels[wrong].tolist(), named[wrong].tolist(), strict=True))
    chosen: list[int] = []
    for pair, _ in sorted(pairs.items(), key=lambda item: (-item[1], item[0])):
        fresh = [speaker for speaker in pair if speaker not in chosen]
        if len(chosen) + len(fresh) <= MOST_CONFUSED:
            chosen += fresh
    if not chosen:
        return None
    place = np.full(len(speakers), len(chosen))
    place[chosen] = np.arange(len(chosen))
    counts = np.zeros((len(chosen) + 1, len(chosen) + 1), np.int64)
    np.add.at(counts, (place[labels], place[named]), 1)
    return Confusions(tuple(speakers[speaker] for speaker in chosen), counts[:-1])
