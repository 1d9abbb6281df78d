"""Fourier transform of real frames in single precision."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

try:
    from scipy import fft  # a quarter faster, where SciPy is installed
except ImportError:
    fft: Any = np.fft


def rfft(x: NDArray[np.float32]) -> NDArray[np.complex64]:
    """(…, N) to (…, N // 2 + 1); NumPy's and SciPy's are equal except for rounding."""
    return fft.rfft(x).astype(np.complex64, copy=False)  # NumPy 1 computes in double precision
