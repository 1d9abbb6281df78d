"""Headers of recordings, read without decoding."""

from pathlib import Path
from typing import NamedTuple

from speakerid.audio.opening import open_recording
from speakerid.base.errors import UserError


class Header(NamedTuple):
    """Header of a recording."""

    rate: int
    """Sample rate in Hz."""
    channels: int
    """Number of channels."""
    seconds: float | None
    """Duration, None if unknown without decoding."""


def read_header(path: Path) -> Header | None:
    """Read the header of a recording; None if it cannot be read."""
    try:
        with open_recording(path) as sound:
            return Header(sound.sample_rate, sound.channels, sound.length and sound.length / sound.sample_rate)
    except UserError:
        return None
