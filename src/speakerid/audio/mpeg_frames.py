"""Count the frames of MPEG audio (MP3, MP2) without decoding, and find where another recording begins.

The first frame of an MP3 may state its number of frames and bytes (Xing, Info: LAME; VBRI: Fraunhofer). Anything after
these is another recording, which decoders ignore.
"""

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Read = Callable[[int, int], bytes]
"""Reads a number of bytes from a position; returns fewer at the end of the file."""

_KILOBITS = {
    (3, 3): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (3, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (3, 1): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 3): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 1): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Bit rates by version (3 is MPEG-1, 2 is MPEG-2 and 2.5) and layer (3 is layer I), coded as in the header."""
_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_BLOCK = 2**16
_CHAIN = 3
"""Number of consecutive frames that counts as the beginning of a recording."""
_CANDIDATE = re.compile(rb"ID3[\2-\4][^\xff]|\xff[\xe2-\xff]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Frame:
    """Header of a frame.

    Attributes:
        length: number of bytes.
        samples: number of samples per channel.
        form: version, layer, sample rate and whether it is mono, which are constant in a recording.
    """

    length: int
    samples: int
    form: tuple[int, int, int, bool]


@dataclass(frozen=True, slots=True)
class Stream:
    """Byte range of one recording, and its number of samples, None if its first frame states the number of frames."""

    start: int
    end: int
    samples: int | None


@dataclass(frozen=True, slots=True)
class _Claim:
    """Number of frames and bytes that the first frame states; 0 if it does not."""

    frames: int
    size: int


def frame(head: bytes) -> Frame | None:
    """Parse the four bytes of a frame header; None if they are not one, or have a free bit rate."""
    if len(head) < 4 or head[0] != 0xFF or head[1] < 0xE0:
        return None
    version, layer, rate = head[1] >> 3 & 3, head[1] >> 1 & 3, head[2] >> 2 & 3
    kilobits = head[2] >> 4
    if version == 1 or layer == 0 or rate == 3 or kilobits in (0, 15):
        return None
    hertz = _RATES[version][rate]
    bits = 1_000 * _KILOBITS[max(version, 2), layer][kilobits]
    samples = 384 if layer == 3 else 576 if layer == 1 and version != 3 else 1_152
    padding = head[2] >> 1 & 1
    length = (12 * bits // hertz + padding) * 4 if layer == 3 else samples // 8 * bits // hertz + padding
    return Frame(length, samples, (version, layer, hertz, head[3] >> 6 == 3))


def after_tags(read: Read, position: int) -> int:
    """Position after the ID3v2 tags that begin at a position, if any."""
    while len(tag := read(10, position)) == 10 and tag.startswith(b"ID3"):
        footer = 10 if tag[5] & 0x10 else 0
        position += (
            10 + footer + sum((byte & 0x7F) << shift for byte, shift in zip(tag[6:], (21, 14, 7, 0), strict=True))
        )
    return position


def streams(read: Read, size: int) -> Iterator[Stream]:
    """Split a file that begins with a frame or an ID3v2 tag into its recordings, without gaps."""
    start = 0
    while start < size:
        stream = _first_stream(read, start, size)
        yield stream
        start = stream.end


def has_frame_count(read: Read, start: int = 0) -> bool:
    """Whether the first frame after a position states the number of frames."""
    return _claim(read(256, after_tags(read, start))) is not None


def _first_stream(read: Read, start: int, size: int) -> Stream:
    first = after_tags(read, start)
    claim = _claim(read(256, first))
    if claim and claim.size:
        return Stream(start, next_start(read, first + claim.size, size), None)
    samples, position, counted = 0, first, 0
    form = (found := frame(read(4, first))) and found.form
    while position < size:
        if (found := frame(read(4, position))) is None or found.form != form:
            position = next_start(read, position, size)
            if (found := frame(read(4, position))) is None or found.form != form:
                break  # end of file, or a tag or another form begins another recording
        if counted and (counted == (claim.frames + 1 if claim else 0) or _claim(read(256, position))):
            break
        samples, counted, position = samples + found.samples, counted + 1, position + found.length
    return Stream(start, min(position, size), None if claim else samples)


def _claim(head: bytes) -> _Claim | None:
    """Parse the Xing, Info or VBRI header of a frame; None if it has none."""
    found = frame(head)
    if found is None:
        return None
    version, _, _, mono = found.form
    offset = 4 + ((17 if mono else 32) if version == 3 else (9 if mono else 17))
    if head[offset : offset + 4] in (b"Xing", b"Info"):
        flags, *values = struct.unpack(">III", head[offset + 4 : offset + 16])
        frames = values.pop(0) if flags & 1 else 0
        return _Claim(frames, values.pop(0) if flags & 2 else 0)
    if head[36:40] == b"VBRI":
        size, frames = struct.unpack(">II", head[46:54])
        return _Claim(frames, size)
    return None


def next_start(read: Read, position: int, size: int) -> int:
    """Next position with a tag or several consecutive frames; the size of the file if there is none."""
    while position < size:
        block = read(_BLOCK + 4, position)
        for candidate in _CANDIDATE.finditer(block):
            if candidate.start() < _BLOCK and begins(read, position + candidate.start(), size):
                return position + candidate.start()
        position += _BLOCK
    return size


def begins(read: Read, position: int, size: int) -> bool:
    """Whether a recording begins at a position: several consecutive frames, perhaps after a tag."""
    first = after_tags(read, position)
    form = None
    for count in range(_CHAIN):
        # In other data, something like a single frame that ends with the file is found once in a thousand files.
        if first == size and count > 1:
            return True
        found = frame(read(4, first))
        if found is None or form not in (None, found.form):
            return False
        form, first = found.form, first + found.length
    return True
