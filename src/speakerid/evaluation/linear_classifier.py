"""Linear discriminant analysis with a shrinkage chosen by cross-validation on the training data.

Shapes: N utterances, D features, C classes, A answers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SHRINKAGES = (0.0001, 0.001, 0.01, 0.03, 0.1, 0.3, 0.6, 1.0)
"""Candidates for the weight of the scaled identity in the covariance; 1 gives the nearest centroid of
standardized features."""
FOLDS = 5
MOST_COMPARED = 12_000_000
"""Bound on the pairs of held-out utterance and class over all folds, so that the choice takes seconds at most."""
_CELLS = 2**22
"""Number of scores in memory at a time."""
CONSTANT = 1e-6
"""Standard deviation, relative to the mean, up to which a feature is considered constant."""

Array = NDArray[np.float64]
Labels = NDArray[np.integer]


@dataclass(frozen=True)
class LinearClassifier:
    """Gaussian classes with a common covariance and equal priors.

    Attributes:
        shift: (D,) subtracted from the features.
        scale: (D,) divisor of the features.
        axes: (D, D) eigenvectors of the within-class covariance, as columns.
        variances: (D,) its eigenvalues, before shrinkage.
        means: (C, D) means of the classes, in the basis of the axes.
        classes: (C,) labels, ascending.
    """

    shift: Array
    scale: Array
    axes: Array
    variances: Array
    means: Array
    classes: Labels

    @staticmethod
    def fit(features: Array, labels: Labels) -> LinearClassifier:
        """Fit to (N, D) features and (N,) labels, N at least 1.

        Constant features have no effect. If every class has a single utterance, the covariance is the identity.
        """
        shift, scale = features.mean(0), features.std(0)
        scale = np.where(scale <= CONSTANT * np.maximum(1, np.abs(shift)), np.inf, scale)
        x = (features - shift) / scale
        classes, index, counts = np.unique(labels, return_inverse=True, return_counts=True)
        means = np.zeros((len(classes), x.shape[1]))
        np.add.at(means, index, x)
        means /= counts[:, None]
        within = x - means[index]
        variances, axes = np.linalg.eigh(within.T @ within / max(1, len(x) - len(classes)))
        variances = np.maximum(variances, 0)
        if variances.sum() <= CONSTANT**2:
            variances = np.ones_like(variances)
        return LinearClassifier(shift, scale, axes, variances, means @ axes, classes)

    def predict(self, features: Array, shrinkage: float) -> Labels:
        """(N,) labels of (N, D) features; ties go to the first class."""
        rows = max(1, _CELLS // len(self.means))
        starts = range(0, max(1, len(features)), rows)
        return self.classes[
            np.concatenate([self.scores(features[start : start + rows], shrinkage).argmax(1) for start in starts])
        ]

    def scores(self, features: Array, shrinkage: float) -> Array:
        """(N, C) log-likelihoods of (N, D) features, up to a constant per utterance."""
        spread = np.sqrt((1 - shrinkage) * self.variances + shrinkage * self.variances.mean())
        means = self.means / spread
        x = ((features - self.shift) / self.scale) @ self.axes / spread
        return x @ means.T - 0.5 * np.square(means).sum(1)


def fit_linear(
    features: Array, labels: Labels, answers: Labels | None = None, sessions: Labels | None = None
) -> tuple[LinearClassifier, float]:
    """Fit a classifier and choose its shrinkage.

    Args:
        features: (N, D).
        labels: (N,) classes.
        answers: (N,) correct answers, the same for all utterances of a class; by default the classes.
        sessions: (N,) sessions, whose utterances are held out together in cross-validation. Utterances of an answer
            with a single session, and all utterances by default, are held out in blocks of consecutive utterances of a
            class.

    Returns:
        The classifier, and the shrinkage with the highest macro accuracy over answers in cross-validation; ties go to
        the largest.
    """
    answers = labels if answers is None else answers
    folds = _folds(labels, answers, sessions)
    right = {shrinkage: np.zeros(len(labels)) for shrinkage in SHRINKAGES}
    evaluated = np.zeros(len(labels), bool)
    step = -(-len(labels) * len(np.unique(labels)) // MOST_COMPARED)
    for fold in np.unique(folds):
        train = folds != fold
        rows = np.flatnonzero(~train)[::step]
        rows = rows[np.isin(answers[rows], answers[train])]
        if not len(rows):
            continue
        evaluated[rows] = True
        classifier = LinearClassifier.fit(features[train], labels[train])
        answer_of = dict(zip(labels[train].tolist(), answers[train].tolist(), strict=True))
        for shrinkage, hits in right.items():
            found = classifier.predict(features[rows], shrinkage)
            hits[rows] = [answer_of[label] for label in found.tolist()] == answers[rows]
    _, answer, counts = np.unique(answers[evaluated], return_inverse=True, return_counts=True)
    scores = {shrinkage: (hits[evaluated] / counts[answer]).sum() for shrinkage, hits in right.items()}
    best = max(SHRINKAGES, key=lambda shrinkage: (round(scores[shrinkage], 9), shrinkage))
    return LinearClassifier.fit(features, labels), best


def _folds(labels: Labels, answers: Labels, sessions: Labels | None) -> Labels:
    """(N,) fold in which each utterance is held out."""
    folds = np.empty(len(labels), np.int64)
    for rows in _groups(labels):
        folds[rows] = np.arange(len(rows)) * FOLDS // len(rows)
    if sessions is None:
        return folds
    for rows in _groups(answers):
        found, session = np.unique(sessions[rows], return_inverse=True)
        if len(found) > 1:
            folds[rows] = session * FOLDS // len(found)
    return folds


def _groups(keys: Labels) -> list[NDArray[np.int64]]:
    """Rows of each key, by key in ascending order."""
    order = np.argsort(keys, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(keys[order])) + 1)
