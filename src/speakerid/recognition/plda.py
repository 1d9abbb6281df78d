"""Score voice prints by probabilistic linear discriminant analysis (PLDA).

Voice prints of a speaker are normally distributed around the speaker's mean, and these means around zero: the
two-covariance model (Ioffe, 2006, Probabilistic linear discriminant analysis; Brümmer and de Villiers, 2010, The
speaker partitioning problem). The mean of a speaker with few recordings is less certain, so the predicted variance is
larger; this way scores account for the number of recordings.

Shapes: N voice prints, D width, S speakers, K centers per speaker, C numbers of clips, P pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SMALLEST_BETWEEN = 1e-3
"""Smallest variance between speakers, as a share of that within; a model that distinguishes none has none."""

SMALLEST_WITHIN = 1e-6
"""Smallest variance within speakers, as a share of the mean square; with one repeated recording each there is none."""

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Plda:
    """PLDA model: variances along the axes of the voice prints. Scores are log-likelihood ratios divided by D.

    Attributes:
        within: variance of a speaker's voice prints, the same along every axis.
        between: (D,) variances of the speakers' means.
    """

    within: float
    between: NDArray[np.float64]

    def predict(self, clips: NDArray[np.integer]) -> tuple[Array, Array]:
        """Predict the next voice print of a speaker with (C,) numbers of clips.

        Returns:
            (C, D) share of the clips' mean that is expected, and (C, D) variance around it.
        """
        gain = self.between / (self.between + self.within / clips[:, None])
        return gain, self.within + self.between * (1 - gain)

    def lines(self, centers: Array, clips: NDArray[np.integer]) -> tuple[Array, Array]:
        """Part of a score that is linear in the voice print z: slope · z + offset.

        Args:
            centers: (S, K, D) centers.
            clips: (S,) numbers of clips that the centers were made of.

        Returns:
            (S, K, D) slopes and (S, K) offsets.
        """
        gain, variance = (one[:, None].astype(centers.dtype) for one in self.predict(clips))
        expected = gain * centers
        offsets = -0.5 * ((expected**2 / variance).mean(-1) + np.log(variance / self._total).mean(-1))
        return expected / (variance * len(self.between)), offsets

    def curvatures(self, clips: NDArray[np.integer]) -> Array:
        """Part of a score that is quadratic in z, (C, D): curvature · z², for each number of clips."""
        return 0.5 * (1 / self._total - 1 / self.predict(clips)[1]) / len(self.between)

    def score_pairs(self, first: Array, second: Array) -> Array:
        """(P,) scores for one speaker of two (P, D) or (D,) arrays of voice prints; symmetric."""
        one, other = first.astype(np.float64), second.astype(np.float64)
        total = self._total
        determinant = self.within * (total + self.between)  # of the covariance of the two, total² − between²
        alike = self.between / determinant * one * other
        large = (total / determinant - 1 / total) * (one**2 + other**2)
        return (alike - 0.5 * large - 0.5 * np.log(determinant / total**2)).mean(-1)

    def score_all_pairs(self, prints: Array) -> Array:
        """(N, N) scores of all pairs of (N, D) voice prints, see `score_pairs`."""
        x = prints.astype(np.float64)
        total = self._total
        determinant = self.within * (total + self.between)
        alike = (self.between / determinant * x) @ x.T
        large = x**2 @ (total / determinant - 1 / total)
        constant = np.log(determinant / total**2).sum()
        return (alike - 0.5 * (large[:, None] + large + constant)) / len(self.between)

    @property
    def _total(self) -> Array:
        """(D,) variances of a voice print of an unknown speaker."""
        return self.between + self.within


def fit_plda(prints: Array, labels: NDArray[np.integer]) -> tuple[Array, Plda]:
    """Fit a PLDA model.

    Args:
        prints: (N, D) voice prints, white within speakers.
        labels: (N,) speakers.

    Returns:
        (D, D) matrix that rotates voice prints to the axes of the model, applied from the right; and the model.
    """
    means, counts, deviations = _by_speaker(prints, labels)
    free, width = len(prints) - len(means), prints.shape[1]
    # With one clip each, speakers and sessions cannot be separated.
    within = (deviations**2).sum() / (free * width) if free else (means**2).mean() / 2
    within = max(within, SMALLEST_WITHIN * (prints**2).mean())
    around = means - means.mean(0)
    covariance = around.T @ around / max(1, len(means) - 1) - within * (1 / counts).mean() * np.eye(width)
    values, axes = np.linalg.eigh(_shrunk(covariance, len(means)))
    return axes, Plda(float(within), np.maximum(values, SMALLEST_BETWEEN * within))


def whitening(embeddings: Array, labels: NDArray[np.integer]) -> Array:
    """Matrix that whitens within speakers (within-class covariance normalization, Hatch et al., 2006).

    Directions that vary from one recording of a voice to the next then count little, and constant ones much.

    Args:
        embeddings: (N, D).
        labels: (N,) speakers.

    Returns:
        (D, D) matrix, applied from the right.
    """
    means, _, deviations = _by_speaker(embeddings, labels)
    free, width = len(embeddings) - len(means), embeddings.shape[1]
    if not deviations.any():  # one utterance a speaker
        return np.eye(width)
    values, vectors = np.linalg.eigh(_shrunk(deviations.T @ deviations / free, free))
    return vectors / np.sqrt(values)


def _by_speaker(x: Array, labels: NDArray[np.integer]) -> tuple[Array, NDArray[np.integer], Array]:
    """(S, D) means of the speakers' (N, D) vectors, (S,) their counts, and (N, D) deviations from the means."""
    _, speaker = np.unique(labels, return_inverse=True)
    x, counts = x.astype(np.float64), np.bincount(speaker)
    means = np.stack([np.bincount(speaker, column) for column in x.T], 1) / counts[:, None]
    return means, counts, x - means[speaker]


def _shrunk(covariance: Array, samples: int) -> Array:
    """Shrink a (D, D) covariance toward a sphere, the more the fewer independent samples there are per axis."""
    width = len(covariance)
    share = width / (width + samples)
    return (1 - share) * covariance + share * max(0.0, np.trace(covariance) / width) * np.eye(width)
