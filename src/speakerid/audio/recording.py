"""A recording that is open for decoding, whatever reads it.

Lengths and positions count the samples of one channel.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speakerid.errors import UserError

BLOCK = 2**18
"""Samples, of all channels together, that are decoded at a time."""


@dataclass(frozen=True, slots=True)
class Recording:
    """An open file.

    Attributes:
        sample_rate: in Hz.
        channels: of the file.
        length: what can be read, where that is known before reading.
        promised: what the header claims, where it does; more than `length` in a file that is cut off.
        blocks: (n, channels) float32 samples one after the other, from a position on; called once.
        lag: seconds by which the samples come later than in the original, as far as it is known.
    """

    sample_rate: int
    channels: int
    length: int | None
    promised: int | None
    blocks: Callable[[int], Iterator[NDArray[np.float32]]]
    lag: float = 0.0

    def cut_off(self, found: int) -> UserError:
        """The error of a recording that cannot be read beyond a position."""
        place = f"{found / self.sample_rate:.2f} s"
        if self.promised is None:
            return UserError(f"is cut off or damaged {place} from its beginning; copy or record it again")
        promised = f"{self.promised / self.sample_rate:.2f} s"
        return UserError(f"is cut off or damaged: found {place} of the {promised} it promises; copy or record it again")

    def lacks(self, found: float, expected: float) -> bool:
        """Whether samples are missing, beyond what encoders count differently: their delay, a last frame in part."""
        return expected - found > max(0.1 * self.sample_rate, 0.02 * expected)


class UnknownFormat(UserError):
    """A decoder does not read it, or not all of it; another one may."""
