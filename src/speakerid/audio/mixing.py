"""Mix channels to mono: their mean, or the loudest one if they cancel each other out."""

import numpy as np
from numpy.typing import NDArray

from speakerid.base.errors import UserError

FULL_SCALE = 0.999
"""Absolute value from which a sample counts as clipped."""
CANCELLED = 0.25
"""Channels cancel if the power of their mean is below this share of what it would be for uncorrelated channels.

This is a loss of 6 dB. For two channels of equal level it means a correlation below -0.75.
"""
ROUNDING = 1e-9
"""Power, relative to that of a constant offset, that is only rounding error."""
STEP = 8
"""Use every eighth sample to estimate the power."""
MIN_SAMPLES = 1_000
"""Minimum number of samples; with fewer, uncorrelated channels may cancel by chance."""


class Mixer:
    """Mixes blocks to mono and checks whether the channels cancel each other out.

    Args:
        channels: number of channels of the recording.
        channel: zero-based index of the channel to use; None for the mean of all channels.

    Attributes:
        clipped: number of samples so far that reach 0.999 of full scale in any channel used.

    Raises:
        UserError: the recording does not have the channel.
    """

    def __init__(self, channels: int, channel: int | None) -> None:
        if channel is not None and not 0 <= channel < channels:
            raise UserError(
                f"has {channels} channel{'' if channels == 1 else 's'}; found channel {channel + 1}, "
                f"expected 1 to {channels}; correct the channel"
            )
        self.clipped = 0
        self._channel = 0 if channels == 1 else channel
        self._weights = np.full(channels, 1 / channels, np.float32)
        self._samples = 0
        self._sums = np.zeros((2, channels + 1))
        """Sums of samples and of their squares, for each channel and the mean."""

    def __call__(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mix (n, channels) samples to (n,)."""
        if self._channel is not None:
            block = block[:, self._channel : self._channel + 1]
        if len(block) and (block.min() <= -FULL_SCALE or block.max() >= FULL_SCALE):
            self.clipped += int((np.abs(block) >= FULL_SCALE).any(1).sum())
        if self._channel is not None:
            return block[:, 0]
        with np.errstate(over="ignore", invalid="ignore"):  # damaged files; callers check the samples
            mean = block @ self._weights
            some, mixed = block[::STEP].astype(np.float64), mean[::STEP].astype(np.float64)
            self._samples += len(some)
            self._sums[0] += [*some.sum(0), mixed.sum()]
            self._sums[1] += [*np.einsum("ij,ij->j", some, some), mixed @ mixed]
        return mean

    def loudest_if_cancelled(self) -> int | None:
        """Index of the channel with the most power if the channels cancel each other out so far, else None."""
        if STEP * self._samples < MIN_SAMPLES or self._channel is not None:
            return None
        with np.errstate(over="ignore", invalid="ignore"):
            mean, square = self._sums / self._samples
            power = square - mean**2  # without a constant offset
        *channels, mixed = power.tolist()
        unrelated = sum(channels) / len(channels) ** 2
        if not mixed < CANCELLED * unrelated < np.inf or unrelated < ROUNDING * square.max():
            return None
        return int(np.argmax(channels))


def mixed(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mix (channels, N) samples to (N,) like a recording: the mean, or the loudest channel if they cancel out."""
    mixer = Mixer(len(samples), None)
    mean = mixer(np.ascontiguousarray(samples.T))
    loudest = mixer.loudest_if_cancelled()
    return mean if loudest is None else samples[loudest]
