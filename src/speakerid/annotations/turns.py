"""Turns of speakers as annotations give them, and the text of annotation files."""

from __future__ import annotations

import codecs
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from speakerid.base.errors import UserError
from speakerid.base.files import check_regular
from speakerid.base.printing import printable

MAX_BYTES = 1 << 28
"""Largest annotation file to read."""
LATEST = 3.6e6
"""Seconds after which no turn ends: 1000 hours. A later end is a mistake, and would be cut into millions of parts."""
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


@dataclass(frozen=True, slots=True)
class Turn:
    """Time in which one person speaks."""

    start: float
    """Seconds from the beginning of the recording."""
    end: float
    speaker: str | None
    """Name or label of the speaker; None if the annotation does not say who speaks."""
    where: str = ""
    """Line, or tier and interval, for messages."""
    recording: str = ""
    """File id of the recording, if the format has one."""
    channel: str = ""
    """Channel as written, if the format has one."""


@dataclass(frozen=True, slots=True)
class Label:
    """One place in the text where a speaker is named.

    Attributes:
        first, last: characters first to last − 1 of the text are the name; both are equal where a name may be added.
        name: the name, without quotes and escapes; None where a name may be added.
        start, end: time of the words that it belongs to, in seconds; None if the text does not say.
        recording: file id of the recording, if the format has one.
    """

    first: int
    last: int
    name: str | None
    start: float | None
    end: float | None
    recording: str = ""


@dataclass(frozen=True)
class Annotation:
    """Turns of an annotation, and where its text names speakers."""

    turns: Sequence[Turn]
    labels: Sequence[Label] = field(default_factory=tuple)
    """In the order of the text; empty for formats in which labels are not replaced."""
    tiers: Sequence[str] = ()
    """Names of all tiers, read or not."""


@dataclass(frozen=True)
class Text:
    """Text of a file, with what is needed to write it back byte by byte."""

    content: str
    encoding: str
    bom: bytes

    def encoded(self, content: str) -> bytes:
        """Bytes of a changed content, in the encoding of the file."""
        return self.bom + content.encode(self.encoding)


def read_text(path: Path) -> Text:
    """Read a text in UTF-8 or UTF-16; line ends stay as they are.

    Raises:
        UserError: the file is missing, cannot be read, is too large, or is in another encoding.
    """
    try:
        check_regular(path)
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise UserError(f"{path}: found {size:,} bytes, expected an annotation of at most {MAX_BYTES:,}")
        blob = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    bom, encoding = next(((bom, name) for bom, name in _BOMS if blob.startswith(bom)), (b"", "utf-8"))
    if not bom and blob[:2].count(0) == 1:  # UTF-16 of Latin letters without a byte order mark
        encoding = "utf-16-be" if blob[0] == 0 else "utf-16-le"
    try:
        return Text(blob[len(bom) :].decode(encoding), encoding, bom)
    except UnicodeDecodeError as error:
        line = blob.count(b"\n", 0, error.start) + 1
        name = encoding.upper()[:6].rstrip("-")
        raise UserError(f"{path}: line {line}: not {name} text; save it as UTF-8") from error


def turn(
    start: float, end: float, speaker: str | None, where: str, recording: str = "", channel: str = ""
) -> Turn | None:
    """A turn with plausible times; None if it has no length, as a mark has.

    Raises:
        UserError: a time is not finite or negative, the end is before the start, or it is after `LATEST`.
    """
    for field_, value in (("start", start), ("end", end)):
        if not (math.isfinite(value) and value >= 0):
            raise UserError(f"{where}: {field_}: found {value:g}, expected 0 seconds or more")
    if end < start:
        raise UserError(
            f"{where}: end: found {end:g} s, expected more than the start, {start:g} s; correct the annotation"
        )
    if end > LATEST:
        raise UserError(f"{where}: end: found {end:g} s, expected at most 1000 hours; give times in seconds")
    name = speaker.strip() if speaker else None
    return Turn(start, end, name or None, where, recording, channel) if end > start else None


def lines_of(text: str) -> Iterator[tuple[str, int, str]]:
    """Line number for messages, offset in the text, and content of every line."""
    offset = 0
    for count, line in enumerate(io.StringIO(text, newline=""), 1):
        yield f"line {count}", offset, line.rstrip("\r\n")
        offset += len(line)


def number(text: str, where: str, what: str) -> float:
    """Parse a number of an annotation.

    Raises:
        UserError: the text is not a number.
    """
    try:
        if "_" not in text:
            return float(text)
    except ValueError:
        pass
    raise UserError(f"{where}: {what}: found {printable(text)!r}, expected a number of seconds")
