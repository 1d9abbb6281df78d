"""Voices that nobody has, from those there are: log-mel frames of a longer or a shorter vocal tract.

Letters: M mel bands.
"""

import numpy as np
import torch
from torch import Tensor

from speakerid.config import FeatureConfig

FACTORS = (0.8, 1.25)
"""As far from a voice as many another is; nearer ones are taken for it, farther ones are told from it too easily."""


def shift(features: FeatureConfig, factor: float) -> Tensor:
    """What moves every formant by a factor (vocal tract length perturbation, Jaitly and Hinton, 2013).

    Args:
        features: of the frames.
        factor: from a frequency to the one whose power it gets.

    Returns:
        (M, M), to be multiplied from the right; interpolates between bands.
    """
    nyquist = features.sample_rate / 2
    edges = np.linspace(_mel(features.f_min), _mel(nyquist), features.n_mels + 2)
    centres = edges[1:-1]
    wanted = _mel(np.minimum(_hertz(centres) * factor, nyquist))
    places = np.interp(wanted, centres, np.arange(features.n_mels))
    bands = np.arange(features.n_mels)
    return torch.from_numpy(np.maximum(0, 1 - np.abs(bands[:, None] - places)).astype(np.float32))


def _mel(hertz: float | np.ndarray) -> np.ndarray:
    return np.asarray(2595 * np.log10(1 + np.asarray(hertz) / 700))


def _hertz(mel: np.ndarray) -> np.ndarray:
    return 700 * (10 ** (mel / 2595) - 1)
