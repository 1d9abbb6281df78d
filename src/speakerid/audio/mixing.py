"""Channels to one: their mean, or a single one where the mean would cancel them out."""

import numpy as np
from numpy.typing import NDArray

from speakerid.errors import UserError

FULL_SCALE = 0.999
"""A sample from here on counts as clipped."""
CANCELLED = 0.25
"""Power of the mean, as a share of what channels without any relation would leave of theirs, below which they cancel.

Two channels of one level do so from a correlation of -0.75 down; 0.25 means that 6 dB of them are lost.
"""
ROUNDING = 1e-9
"""Power, as a share of that of a constant offset, that is nothing but rounding."""
STEP = 8
"""Every eighth sample tells the power of all."""
FEWEST = 1_000
"""Samples; of fewer, unrelated channels may cancel by chance."""


class Mixer:
    """Mixes block after block, and watches whether the channels cancel each other out.

    Args:
        channels: of the recording.
        channel: index of the only one to use, from 0; None for the mean of all.

    Attributes:
        clipped: samples so far that are at or beyond 0.999 of full scale in any channel used.

    Raises:
        UserError: there is no such channel.
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
        """Of the values and of their squares, of each channel and of the mean."""

    def __call__(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, channels) samples to (n,)."""
        if self._channel is not None:
            block = block[:, self._channel : self._channel + 1]
        if len(block) and (block.min() <= -FULL_SCALE or block.max() >= FULL_SCALE):
            self.clipped += int((np.abs(block) >= FULL_SCALE).any(1).sum())
        if self._channel is not None:
            return block[:, 0]
        with np.errstate(over="ignore", invalid="ignore"):  # damaged files hold anything; who uses the samples looks
            mean = block @ self._weights
            some, mixed = block[::STEP].astype(np.float64), mean[::STEP].astype(np.float64)
            self._samples += len(some)
            self._sums[0] += [*some.sum(0), mixed.sum()]
            self._sums[1] += [*np.einsum("ij,ij->j", some, some), mixed @ mixed]
        return mean

    def loudest_of_cancelling(self) -> int | None:
        """Index of the channel with the most power, if the mean of what was mixed so far is far below the channels."""
        if STEP * self._samples < FEWEST or self._channel is not None:
            return None
        with np.errstate(over="ignore", invalid="ignore"):
            mean, square = self._sums / self._samples
            power = square - mean**2  # a constant offset is no sound
        *channels, mixed = power.tolist()
        unrelated = sum(channels) / len(channels) ** 2
        if not mixed < CANCELLED * unrelated < np.inf or unrelated < ROUNDING * square.max():
            return None
        return int(np.argmax(channels))


def mixed(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """(channels, N) samples to (N,), as a recording's channels are mixed: their mean, or the loudest if they cancel."""
    mixer = Mixer(len(samples), None)
    mean = mixer(np.ascontiguousarray(samples.T))
    loudest = mixer.loudest_of_cancelling()
    return mean if loudest is None else samples[loudest]
