"""Open-set identification: which known speaker is it, or is it a stranger?

The watch-list task: an utterance is assigned the speaker with the highest score if that reaches a threshold, and no
speaker otherwise. A known speaker's utterance is identified if it gets the right name; a stranger's is a false accept
if it gets any (Phillips, Grother and Micheals, Evaluation methods in face recognition; chapter of Li and Jain, 2011,
Handbook of Face Recognition).

Shapes: N utterances of known speakers, I of strangers, S known speakers, P points of a curve.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speakerid.metrics.detection import Numbers


@dataclass(frozen=True)
class Answers:
    """Highest score of each utterance, before any threshold."""

    known: NDArray[np.floating]
    """(N,) highest score of each known speaker's utterance."""
    right: NDArray[np.bool_]
    """(N,) whether it is that of the right speaker."""
    strangers: NDArray[np.floating]
    """(I,) highest score of each stranger's utterance."""

    @staticmethod
    def of(known: NDArray[np.floating], labels: NDArray[np.integer], strangers: NDArray[np.floating]) -> "Answers":
        """Answers from (N, S) scores, the (N,) true speakers, and (I, S) scores of strangers."""
        return Answers(known.max(1), known.argmax(1) == labels, strangers.max(1))


@dataclass(frozen=True)
class OpenSetCurve:
    """Both rates at every distinct threshold."""

    thresholds: NDArray[np.floating]
    """(P,) ascending; the last is infinite and gives no name, not even for an infinite score."""
    false_accepts: NDArray[np.float64]
    """(P,) share of the strangers' utterances that get a name, from 1 down to 0."""
    identified: NDArray[np.float64]
    """(P,) share of the known speakers' utterances that get the right name, from the top-1 accuracy down to 0."""

    def identified_at(self, false_accept: float) -> float:
        """Detection and identification rate (DIR) at the given false-accept rate of strangers."""
        return float(self.identified[np.argmax(self.false_accepts <= false_accept)])


def open_set_curve(
    answers: Answers, known_weights: Numbers | None = None, stranger_weights: Numbers | None = None
) -> OpenSetCurve:
    """Curve over all thresholds.

    Args:
        answers: both kinds need an utterance of positive weight.
        known_weights: (N,) weight of each known speaker's utterance; by default all are 1.
        stranger_weights: (I,) weight of each stranger's utterance; by default all are 1.
    """
    known_weights = np.ones(len(answers.known)) if known_weights is None else known_weights
    stranger_weights = np.ones(len(answers.strangers)) if stranger_weights is None else stranger_weights
    thresholds = np.append(np.unique(np.concatenate([answers.known, answers.strangers])), np.inf)
    return OpenSetCurve(
        thresholds,
        _reaching(thresholds, answers.strangers, stranger_weights) / stranger_weights.sum(),
        _reaching(thresholds, answers.known, known_weights * answers.right) / known_weights.sum(),
    )


def _reaching(thresholds: NDArray[np.floating], scores: NDArray[np.floating], weights: Numbers) -> NDArray[np.float64]:
    """(P,) total weight of the scores that reach each threshold; no score reaches the last."""
    assert not np.isnan(scores).any(), "scores contain NaN"
    order = np.argsort(scores, kind="stable")
    below = np.append(0.0, np.cumsum(weights[order]))
    return np.append(below[-1] - below[np.searchsorted(scores[order], thresholds[:-1])], 0.0)


def open_set_rates(
    answers: Answers,
    threshold: float | NDArray[np.floating],
    stranger_threshold: float | NDArray[np.floating] | None = None,
    known_weights: Numbers | None = None,
    stranger_weights: Numbers | None = None,
) -> tuple[float, float]:
    """Share of strangers' utterances that get a name, and of known speakers' utterances that get the right one.

    Args:
        answers: both kinds need an utterance of positive weight.
        threshold: one for all utterances, or (N,) thresholds, for example by duration.
        stranger_threshold: one for all strangers' utterances, or (I,) thresholds; by default `threshold`.
        known_weights: (N,) weight of each known speaker's utterance; by default all are 1.
        stranger_weights: (I,) weight of each stranger's utterance; by default all are 1.
    """
    stranger_threshold = threshold if stranger_threshold is None else stranger_threshold
    return (
        float(np.average(answers.strangers >= stranger_threshold, weights=stranger_weights)),
        float(np.average(answers.right & (answers.known >= threshold), weights=known_weights)),
    )
