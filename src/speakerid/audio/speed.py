"""Speed perturbation, which shifts pitch and formants and so gives the voice of another speaker.

Follows Ko et al. (2015), "Audio augmentation for speech recognition".
"""

import numpy as np
from numpy.typing import NDArray

from speakerid.audio.resample import resample

SPEEDS = (0.9, 1.1)
"""Speeds of the copies that preparation makes."""


def at_speed(waveform: NDArray[np.float32], speed: float) -> NDArray[np.float32]:
    """Change the speed of (N,) samples to about N / speed samples of the same rate."""
    return resample(waveform, round(10_000 * speed), 10_000)  # only the ratio matters
