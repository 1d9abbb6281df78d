"""Recordings at another speed, which moves pitch and formants and so makes the voice another speaker's.

As in Ko et al. (2015), "Audio augmentation for speech recognition".
"""

import numpy as np
from numpy.typing import NDArray

from speakerid.audio.resample import resample

SPEEDS = (0.9, 1.1)
"""Those of the copies that preparation makes."""


def at_speed(waveform: NDArray[np.float32], speed: float) -> NDArray[np.float32]:
    """(N,) samples to about N / speed samples of the same rate."""
    return resample(waveform, round(10_000 * speed), 10_000)  # only their ratio counts
