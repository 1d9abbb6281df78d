"""Any sample rate to any other."""

import numpy as np
import soxr
from numpy.typing import NDArray

from speakerid.errors import UserError

LOWEST_RATE, HIGHEST_RATE = 1_000, 384_000
"""Hz. What lies outside is a damaged header, not a recording."""


def check_rate(sample_rate: int) -> None:
    """Refuse a sample rate at which nobody records.

    Raises:
        UserError: it lies outside 1,000 to 384,000 Hz.
    """
    if not LOWEST_RATE <= sample_rate <= HIGHEST_RATE:
        raise UserError(f"sample rate is {sample_rate:,} Hz; expected {LOWEST_RATE:,} to {HIGHEST_RATE:,} Hz")


def resample(waveform: NDArray[np.float32], sample_rate: int, target_rate: int) -> NDArray[np.float32]:
    """Band-limited interpolation by the SoX resampler (libsoxr, "high quality": 20 bits, flat to 91 % of the band).

    One kernel serves all pairs of rates, where a polyphase one takes gigabytes for 44,101 to 16,000 Hz.

    Args:
        waveform: (N,) float32 samples.
        sample_rate: theirs, in Hz.
        target_rate: in Hz.

    Returns:
        (N',) float32 samples, N' = N · target_rate / sample_rate to within one.

    Raises:
        UserError: `sample_rate` lies outside 1,000 to 384,000 Hz.
    """
    if sample_rate == target_rate:
        return waveform
    check_rate(sample_rate)
    return soxr.resample(waveform, sample_rate, target_rate, "HQ")


class Resampler:
    """`resample` for what comes block by block, with the same result to the bit.

    Args:
        sample_rate: of the blocks, in Hz.
        target: in Hz.

    Raises:
        UserError: see `resample`.
    """

    def __init__(self, sample_rate: int, target: int) -> None:
        check_rate(sample_rate)
        self.target = target
        same = sample_rate == target
        self._stream = None if same else soxr.ResampleStream(sample_rate, target, 1, dtype="float32", quality="HQ")

    def __call__(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n,) samples to those that they complete."""
        return block if self._stream is None else self._stream.resample_chunk(np.ascontiguousarray(block))

    def rest(self) -> NDArray[np.float32]:
        """What is left at the end."""
        nothing = np.empty(0, np.float32)
        return nothing if self._stream is None else self._stream.resample_chunk(nothing, last=True)
