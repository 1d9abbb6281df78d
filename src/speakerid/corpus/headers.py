"""What the headers of recordings say, without decoding them."""

from pathlib import Path
from typing import NamedTuple

from speakerid.audio.opening import opened
from speakerid.errors import UserError


class Header(NamedTuple):
    """What the header of a recording says."""

    rate: int
    channels: int
    seconds: float | None
    """None where it takes decoding to know."""


def read_header(path: Path) -> Header | None:
    """The header of a recording, None if it cannot be read."""
    try:
        with opened(path) as sound:
            return Header(sound.sample_rate, sound.channels, sound.length and sound.length / sound.sample_rate)
    except UserError:
        return None
