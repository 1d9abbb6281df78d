"""Identification where strangers come by: who of the known speakers is it, or nobody?

The watch-list task: an utterance is given the speaker of its highest score if that reaches a threshold, and nobody
otherwise. A known speaker's utterance counts where it is given the right name, a stranger's is a false accept where it
is given any (Phillips, Grother and Micheals, Evaluation methods in face recognition; chapter of Li and Jain, 2011,
Handbook of Face Recognition).

Shapes: N utterances of known speakers, I of strangers, S known speakers, P points of a curve.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speakerid.evaluation.detection import Numbers


@dataclass(frozen=True)
class Answers:
    """What the highest scores say, whatever the threshold."""

    known: NDArray[np.floating]
    """(N,) highest score of each known speaker's utterance."""
    right: NDArray[np.bool_]
    """(N,) whether it is the right speaker's."""
    strangers: NDArray[np.floating]
    """(I,) highest score of each stranger's utterance."""

    @staticmethod
    def of(known: NDArray[np.floating], labels: NDArray[np.integer], strangers: NDArray[np.floating]) -> "Answers":
        """Of (N, S) scores, the (N,) speakers, and (I, S) scores of strangers."""
        return Answers(known.max(1), known.argmax(1) == labels, strangers.max(1))


@dataclass(frozen=True)
class OpenSetCurve:
    """Both rates at every threshold that makes a difference."""

    thresholds: NDArray[np.floating]
    """(P,) ascending; the last is infinite and stands for giving no name, not even for an infinite score."""
    false_accepts: NDArray[np.float64]
    """(P,) share of the strangers' utterances that are given a name, from 1 down to 0."""
    identified: NDArray[np.float64]
    """(P,) share of the known speakers' utterances that are given the right name, from the top-1 accuracy to 0."""

    def identified_at(self, false_accept: float) -> float:
        """Detection and identification rate where no more than the given share of strangers is accepted."""
        return float(self.identified[np.argmax(self.false_accepts <= false_accept)])


def open_set_curve(
    answers: Answers, known_weights: Numbers | None = None, stranger_weights: Numbers | None = None
) -> OpenSetCurve:
    """The whole curve.

    Args:
        answers: at least one utterance of each kind has a weight.
        known_weights: (N,) how often each utterance counts; once by default.
        stranger_weights: (I,) likewise.
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
    """(P,) weight of the scores that reach each threshold; none reaches the last."""
    assert not np.isnan(scores).any(), "scores that are not numbers have no order"
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
    """Share of strangers' utterances that are given a name, and of known speakers' that are given the right one.

    Args:
        answers: at least one utterance of each kind has a weight.
        threshold: of all utterances, or (N,) of each, where it depends on the duration for instance.
        stranger_threshold: of the strangers' utterances, or (I,) of each; the same as `threshold` by default.
        known_weights: (N,) how often each utterance counts; once by default.
        stranger_weights: (I,) likewise.
    """
    stranger_threshold = threshold if stranger_threshold is None else stranger_threshold
    return (
        float(np.average(answers.strangers >= stranger_threshold, weights=stranger_weights)),
        float(np.average(answers.right & (answers.known >= threshold), weights=known_weights)),
    )
