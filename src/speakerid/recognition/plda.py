"""How much more likely a voice print is of one speaker than of anybody: probabilistic linear discriminant analysis.

Voice prints of a speaker lie around a place of that speaker's own, and these places around zero, both normally: the
two-covariance model (Ioffe, 2006, Probabilistic linear discriminant analysis; Brümmer and de Villiers, 2010, The
speaker partitioning problem). Whoever is known from few recordings has a place that is less certain, and is looked for
in a wider circle; so the number of recordings is accounted for, and not a matter of luck.

Letters: N voice prints, D their width, S speakers, K centres a speaker, C numbers of clips, P pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SMALLEST_BETWEEN = 1e-3
"""Of the variance within speakers; where a model tells no speakers apart, nothing is left between them."""

SMALLEST_WITHIN = 1e-6
"""Variance within speakers, as a share of the mean square; where each repeats one recording, nothing varies."""

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Plda:
    """Variances along the axes of the voice prints. Scores are log-likelihood ratios divided by D.

    Attributes:
        within: of a speaker's voice prints, the same along every axis.
        between: (D,) of the speakers' places.
    """

    within: float
    between: NDArray[np.float64]

    def of_clips(self, clips: NDArray[np.integer]) -> tuple[Array, Array]:
        """What (C,) numbers of clips tell of the next voice print of the same speaker.

        Returns:
            (C, D) how far of the way from zero to the clips' mean it is expected, and (C, D) its variance there.
        """
        gain = self.between / (self.between + self.within / clips[:, None])
        return gain, self.within + self.between * (1 - gain)

    def lines(self, centres: Array, clips: NDArray[np.integer]) -> tuple[Array, Array]:
        """The part of a score that is linear in the voice print z: slope · z + offset.

        Args:
            centres: (S, K, D).
            clips: (S,) how many the centres were made of.

        Returns:
            (S, K, D) slopes and (S, K) offsets.
        """
        gain, variance = (one[:, None].astype(centres.dtype) for one in self.of_clips(clips))
        expected = gain * centres
        offsets = -0.5 * ((expected**2 / variance).mean(-1) + np.log(variance / self._of_anybody).mean(-1))
        return expected / (variance * len(self.between)), offsets

    def curvatures(self, clips: NDArray[np.integer]) -> Array:
        """The part of a score that is quadratic in z, (C, D): curvature · z², for each number of clips."""
        return 0.5 * (1 / self._of_anybody - 1 / self.of_clips(clips)[1]) / len(self.between)

    def of_pairs(self, first: Array, second: Array) -> Array:
        """Twice (P, D) voice prints, or one each, to (P,) scores of both being of one speaker; in either order."""
        one, other = first.astype(np.float64), second.astype(np.float64)
        anybody = self._of_anybody
        determinant = self.within * (anybody + self.between)  # of the covariance of the two, anybody² − between²
        alike = self.between / determinant * one * other
        large = (anybody / determinant - 1 / anybody) * (one**2 + other**2)
        return (alike - 0.5 * large - 0.5 * np.log(determinant / anybody**2)).mean(-1)

    def of_all_pairs(self, prints: Array) -> Array:
        """`of_pairs` of each two of (N, D) voice prints: (N, N)."""
        x = prints.astype(np.float64)
        anybody = self._of_anybody
        determinant = self.within * (anybody + self.between)
        alike = (self.between / determinant * x) @ x.T
        large = x**2 @ (anybody / determinant - 1 / anybody)
        constant = np.log(determinant / anybody**2).sum()
        return (alike - 0.5 * (large[:, None] + large + constant)) / len(self.between)

    @property
    def _of_anybody(self) -> Array:
        """(D,) variances of a voice print of whoever it may be."""
        return self.between + self.within


def fit_plda(prints: Array, labels: NDArray[np.integer]) -> tuple[Array, Plda]:
    """The model that voice prints of speakers tell of.

    Args:
        prints: (N, D), white within speakers.
        labels: (N,) speakers.

    Returns:
        (D, D), to be multiplied from the right, which turns the voice prints to the axes of the model, and that.
    """
    means, counts, deviations = _by_speaker(prints, labels)
    free, width = len(prints) - len(means), prints.shape[1]
    # Of one clip each nobody knows what is the speaker's and what the occasion's.
    within = (deviations**2).sum() / (free * width) if free else (means**2).mean() / 2
    within = max(within, SMALLEST_WITHIN * (prints**2).mean())
    around = means - means.mean(0)
    covariance = around.T @ around / max(1, len(means) - 1) - within * (1 / counts).mean() * np.eye(width)
    values, axes = np.linalg.eigh(_shrunk(covariance, len(means)))
    return axes, Plda(float(within), np.maximum(values, SMALLEST_BETWEEN * within))


def whitening(embeddings: Array, labels: NDArray[np.integer]) -> Array:
    """What makes the covariance within speakers a sphere (within-class covariance normalisation, Hatch et al., 2006).

    What changes from one recording of a voice to the next then counts little, and what stays counts much.

    Args:
        embeddings: (N, D).
        labels: (N,) speakers.

    Returns:
        (D, D), to be multiplied from the right.
    """
    means, _, deviations = _by_speaker(embeddings, labels)
    free, width = len(embeddings) - len(means), embeddings.shape[1]
    if not deviations.any():  # one utterance a speaker
        return np.eye(width)
    values, vectors = np.linalg.eigh(_shrunk(deviations.T @ deviations / free, free))
    return vectors / np.sqrt(values)


def _by_speaker(x: Array, labels: NDArray[np.integer]) -> tuple[Array, NDArray[np.integer], Array]:
    """(S, D) means of the speakers' (N, D) vectors, (S,) how many there are, and (N, D) what they are off the mean."""
    _, speaker = np.unique(labels, return_inverse=True)
    x, counts = x.astype(np.float64), np.bincount(speaker)
    means = np.stack([np.bincount(speaker, column) for column in x.T], 1) / counts[:, None]
    return means, counts, x - means[speaker]


def _shrunk(covariance: Array, samples: int) -> Array:
    """Part of a sphere for a (D, D) covariance, the more so the fewer independent samples there are for its axes."""
    width = len(covariance)
    share = width / (width + samples)
    return (1 - share) * covariance + share * max(0.0, np.trace(covariance) / width) * np.eye(width)
