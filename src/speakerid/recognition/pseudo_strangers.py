"""Shift the formants of voices to make strangers: log-mel frames of a longer or a shorter vocal tract.

Shapes: M mel bands.
"""

import numpy as np
from numpy.typing import NDArray

from speakerid.config import FeatureConfig

FACTORS = (0.8, 1.25)
"""About as far from a voice as other voices; closer ones are taken for it, farther ones are too easy to reject."""


def shift(features: FeatureConfig, factor: float) -> NDArray[np.float32]:
    """Matrix that shifts every formant by a factor (vocal tract length perturbation, Jaitly and Hinton, 2013).

    Args:
        features: settings of the frames.
        factor: ratio of the frequency that power is taken from to the one that it is moved to.

    Returns:
        (M, M) matrix, applied from the right; it interpolates between bands.
    """
    nyquist = features.sample_rate / 2
    edges = np.linspace(_mel(features.f_min), _mel(nyquist), features.n_mels + 2)
    centers = edges[1:-1]
    wanted = _mel(np.minimum(_hertz(centers) * factor, nyquist))
    positions = np.interp(wanted, centers, np.arange(features.n_mels))
    bands = np.arange(features.n_mels)
    return np.maximum(0, 1 - np.abs(bands[:, None] - positions)).astype(np.float32)


def _mel(hertz: float | np.ndarray) -> np.ndarray:
    return np.asarray(2595 * np.log10(1 + np.asarray(hertz) / 700))


def _hertz(mel: np.ndarray) -> np.ndarray:
    return 700 * (10 ** (mel / 2595) - 1)
