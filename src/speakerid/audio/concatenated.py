"""Find the recordings in a file that concatenates several, as `cat a.wav b.wav` does.

Most decoders stop after the first one. A header of the same kind as at the beginning starts another recording.
"""

import io
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import BinaryIO, cast

from speakerid.audio import mpeg_frames as mpeg

STREAMED = 0x7FFF_0000
"""Size in bytes from which a WAV header is not believed: programs that write to a pipe put a maximum there."""
_BLOCK = 2**20
"""Number of bytes to search at a time."""
_READ_AHEAD = 2**14
"""Maximum number of bytes that a FLAC decoder reads beyond the end."""
_HEADER = 64
"""Number of bytes that suffice to recognize a header."""
_W64 = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0"
_ASF = b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\0\xaa\0\x62\xce\x6c"


@dataclass(frozen=True, slots=True)
class _Kind:
    """Header of a container format.

    Attributes:
        literal: first bytes of every header.
        header: pattern of the header, including `literal`.
    """

    literal: bytes
    header: re.Pattern[bytes]


def _kind(literal: bytes, rest: bytes = b"") -> _Kind:
    return _Kind(literal, re.compile(re.escape(literal) + rest, re.DOTALL))


_KINDS = (
    _kind(b"RIFF", rb"....WAVE"),
    _kind(b"RIFX", rb"....WAVE"),
    _kind(b"RF64", rb"....WAVE"),
    _kind(b"BW64", rb"....WAVE"),
    _kind(b"FORM", rb"....AIF[FC]"),
    _kind(b"fLaC", rb"[\0\x80]\0\0\x22"),
    _kind(b"OggS\0", rb"[\x02\x06]"),
    _kind(b".snd\0\0", rb".{9}[\x01-\x1b]"),
    _kind(b"NIST_1A\n"),
    _kind(b"Creative Voice File\x1a"),
    _kind(b"caff\0\x01\0\0"),
    _kind(_W64),
    _kind(b"\x1a\x45\xdf\xa3", rb".{0,40}\x42\x82.(?:webm|matroska)"),
    _kind(_ASF),
    _kind(b"#!AMR\n"),
    _kind(b"#!AMR-WB\n"),
)


class Window(io.RawIOBase):
    """A byte range of a file, readable as a file."""

    def __init__(self, file: BinaryIO, start: int, end: int) -> None:
        self._handle, self._start, self._size, self._position = file.fileno(), start, end - start, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed wants any buffer
        wanted = memoryview(buffer)[: max(0, self._size - self._position)]
        count = os.preadv(self._handle, [wanted], self._start + self._position)
        self._position += count
        return count

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = max(0, offset + (0, self._position, self._size)[whence])
        return self._position

    def tell(self) -> int:
        return self._position


@dataclass(frozen=True, slots=True)
class Part:
    """Byte range of one recording.

    Attributes:
        file: file with the recording.
        start, end: first byte, and last byte + 1.
        alone: whether the recording is the whole file.
        samples: number of samples per channel, counted only in MPEG audio that does not state it; else None.
    """

    file: BinaryIO
    start: int
    end: int
    alone: bool
    samples: int | None = None

    @property
    def size(self) -> int:
        """Number of bytes."""
        return self.end - self.start

    def read(self, count: int, first: int = 0) -> bytes:
        """Read bytes from a position in the part; returns fewer at its end."""
        return os.pread(self.file.fileno(), max(0, min(count, self.size - first)), self.start + first)

    def source(self, first: int = 0) -> "int | BinaryIO":
        """Input for libsndfile from a position; for a whole file its descriptor, which is faster."""
        if not self.alone:
            return cast(BinaryIO, Window(self.file, self.start + first, self.end))
        os.lseek(self.file.fileno(), first, os.SEEK_SET)
        return self.file.fileno()

    def stream(self) -> BinaryIO:
        """Input for FFmpeg."""
        if not self.alone:
            return cast(BinaryIO, Window(self.file, self.start, self.end))
        self.file.seek(0)
        return self.file


def parts(file: BinaryIO) -> list[Part]:
    """Split a file into its recordings, nearly always one, in order and without gaps."""
    status = os.fstat(file.fileno())
    found = _bounds(file.name, status.st_size, status.st_mtime_ns)
    return [Part(file, start, end, len(found) == 1, samples) for start, end, samples in found]


def has_header(part: Part) -> bool:
    """Whether a file begins with a known header."""
    head = part.read(_HEADER)
    return (
        head.startswith((b"ID3", b"wvpk", b"MAC ", b"\x0b\x77", b"\xff"))
        or head[4:8] in (b"ftyp", b"moov", b"mdat")
        or any(head.startswith(kind.literal) for kind in _KINDS)
    )


def other_kind_follows(part: Part, position: int) -> bool:
    """Whether a recording of another kind follows a FLAC recording.

    Args:
        part: part that begins with the FLAC recording.
        position: byte up to which a decoder has read, perhaps slightly beyond the FLAC recording.
    """
    first = max(_after_metadata(part), position - _READ_AHEAD)
    kinds = (kind for kind in _KINDS if kind.literal != b"fLaC")
    return mpeg.next_start(part.read, first, part.size) < part.size or any(
        next(_search(part.read, kind, first, part.size), None) is not None for kind in kinds
    )


def _after_metadata(part: Part) -> int:
    """First byte of FLAC frames. The metadata is skipped because it may contain the header of the original file."""
    position, last = 4, False
    while not last and len(head := part.read(4, position)) == 4:
        position += 4 + int.from_bytes(head[1:], "big")
        last = head[0] >= 0x80
    return position


@lru_cache(maxsize=8)  # tables list many segments of one recording
def _bounds(path: str, size: int, _: int) -> list[tuple[int, int, int | None]]:
    """First byte, last byte + 1, and counted samples or None, of each recording in a file."""
    with open(path, "rb", buffering=0) as file:

        def read(count: int, first: int) -> bytes:
            return os.pread(file.fileno(), count, first)

        begin = mpeg.after_tags(read, 0)
        head = read(_HEADER, begin)
        if mpeg.frame(head):
            return [(stream.start, stream.end, stream.samples) for stream in mpeg.streams(read, size)]
        starts = [0]
        kind = next((kind for kind in _KINDS if kind.header.match(head)), None)
        if head[4:8] == b"ftyp":
            starts += _second_movies(read, size)
        elif kind and (end := begin + _header_size(head)) < size - _HEADER:
            starts += [at for at in _search(read, kind, begin + 1, size) if not _continues(read, kind, at, begin)]
            if len(starts) == 1 and end > begin and _begins(read, end, size):  # a recording of another kind
                starts.append(end)
    return [(start, end, None) for start, end in zip(starts, [*starts[1:], size], strict=True)]


def _begins(read: mpeg.Read, position: int, size: int) -> bool:
    head = read(_HEADER, position)
    return any(kind.header.match(head) for kind in _KINDS) or mpeg.begins(read, position, size)


def _header_size(head: bytes) -> int:
    """Size of a recording in bytes as stated in its header; 0 if not stated, or if it was written to a pipe."""
    if head[:4] in (b"RIFF", b"FORM"):
        (size,) = struct.unpack("<I" if head[:4] == b"RIFF" else ">I", head[4:8])
        return size + 8 if size < STREAMED else 0
    return 0


def _search(read: mpeg.Read, kind: _Kind, first: int, size: int) -> Iterator[int]:
    """Find the positions of headers of a kind."""
    for start in range(first, size, _BLOCK):
        block = read(_BLOCK + len(kind.literal) - 1, start)
        found = block.find(kind.literal)
        while found >= 0:
            position = start + found
            if kind.header.match(read(_HEADER, position)):
                yield position
            found = block.find(kind.literal, found + 1)


def _continues(read: mpeg.Read, kind: _Kind, position: int, begin: int) -> bool:
    """Whether an Ogg page that begins a stream belongs to a group of parallel streams."""
    if kind.literal != b"OggS\0":
        return False
    page = begin
    while page < position:
        head = read(27 + 255, page)
        if head[:4] != b"OggS" or not head[5] & 2:
            return False
        page += 27 + head[26] + sum(head[27 : 27 + head[26]])
    return True


def _second_movies(read: mpeg.Read, size: int) -> Iterator[int]:
    """Find the positions of further `ftyp` boxes of MP4 and QuickTime after a `moov` box."""
    position, complete = 0, False
    while len(head := read(16, position)) == 16:
        length, name = int.from_bytes(head[:4], "big"), head[4:8]
        if length == 1:
            length = int.from_bytes(head[8:], "big")
        if name == b"ftyp" and complete:
            yield position
        complete = name != b"ftyp" and (complete or name == b"moov")
        if length < 8:  # 0 means that the box extends to the end
            return
        position += length
