"""Resample between any two sample rates.

Shapes: N samples.
"""

import numpy as np
import soxr
from numpy.typing import NDArray

from speakerid.base.errors import UserError

LOWEST_RATE, HIGHEST_RATE = 1_000, 384_000
"""Range of valid sample rates in Hz; others are from damaged headers."""


def check_rate(sample_rate: int) -> None:
    """Check that a sample rate is possible.

    Raises:
        UserError: the sample rate is outside 1,000 to 384,000 Hz.
    """
    if not LOWEST_RATE <= sample_rate <= HIGHEST_RATE:
        raise UserError(f"sample rate is {sample_rate:,} Hz; expected {LOWEST_RATE:,} to {HIGHEST_RATE:,} Hz")


def resample(waveform: NDArray[np.float32], sample_rate: int, target_rate: int) -> NDArray[np.float32]:
    """Resample by band-limited interpolation (libsoxr, "high quality": 20 bits, flat to 91 % of the band).

    It handles all pairs of rates, while a polyphase filter takes gigabytes for 44,101 to 16,000 Hz.

    Args:
        waveform: (N,) float32 samples.
        sample_rate: sample rate of the waveform, in Hz.
        target_rate: sample rate of the result, in Hz.

    Returns:
        (N',) float32 samples, N' = N · target_rate / sample_rate ± 1.

    Raises:
        UserError: `sample_rate` is outside 1,000 to 384,000 Hz.
    """
    if sample_rate == target_rate:
        return waveform
    check_rate(sample_rate)
    return soxr.resample(waveform, sample_rate, target_rate, "HQ")


class Resampler:
    """Streaming version of `resample`, with bit-identical results.

    Args:
        sample_rate: sample rate of the blocks, in Hz.
        target: sample rate of the result, in Hz.

    Raises:
        UserError: see `resample`.
    """

    def __init__(self, sample_rate: int, target: int) -> None:
        check_rate(sample_rate)
        self.target = target
        same = sample_rate == target
        self._stream = None if same else soxr.ResampleStream(sample_rate, target, 1, dtype="float32", quality="HQ")

    def __call__(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Resample (n,) samples; return the output that is complete so far."""
        return block if self._stream is None else self._stream.resample_chunk(np.ascontiguousarray(block))

    def rest(self) -> NDArray[np.float32]:
        """Return the remaining output at the end."""
        nothing = np.empty(0, np.float32)
        return nothing if self._stream is None else self._stream.resample_chunk(nothing, last=True)
