"""A recording open for decoding, independent of the decoder.

Lengths and positions are in samples per channel.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speakerid.base.errors import UserError

BLOCK = 2**18
"""Number of samples, of all channels together, to decode at a time."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording open for decoding.

    Attributes:
        sample_rate: sample rate in Hz.
        channels: number of channels.
        length: readable length; None if unknown before reading.
        header_length: length stated in the header, None if not stated; greater than `length` if the file is truncated.
        blocks: yields consecutive blocks of (n, channels) float32 samples from a position; call it once.
        lag: delay of the samples relative to the original in seconds, 0 if unknown.
    """

    sample_rate: int
    channels: int
    length: int | None
    header_length: int | None
    blocks: Callable[[int], Iterator[NDArray[np.float32]]]
    lag: float = 0.0

    def truncation_error(self, found: int) -> UserError:
        """Error for a recording that cannot be read beyond a position."""
        found_at = f"{found / self.sample_rate:.2f} s"
        if self.header_length is None:
            return UserError(f"is truncated or damaged after {found_at}; copy or record it again")
        header_length = f"{self.header_length / self.sample_rate:.2f} s"
        return UserError(
            f"is truncated or damaged: found {found_at} of the {header_length} in its header; copy or record it again"
        )

    def is_missing(self, found: float, expected: float) -> bool:
        """Whether samples are missing, with a tolerance for encoder delay and a partial last frame."""
        return expected - found > max(0.1 * self.sample_rate, 0.02 * expected)


class UnknownFormat(UserError):
    """A decoder cannot read all of a recording; another one may."""
