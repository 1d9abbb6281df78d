"""Recordings found on disk: their names, and the order they stand in."""

import math
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Recording:
    """A file, or a stretch of one, in which one speaker is heard."""

    path: Path
    name: str
    """Unique and printable: the path relative to the source; a channel adds `#ch1`, a stretch `#start-end`."""
    speaker: str
    session: str | None
    """The occasion, unique within the speaker; None where it is not known."""
    start: float | None = None
    """Seconds; None is the beginning of the file."""
    end: float | None = None
    """Seconds; None is the end of the file."""
    channel: int | None = None
    """Index of the only channel to read, from 0; None is the mean of all."""


@dataclass(frozen=True)
class Scan:
    """What was found in a source."""

    layout: str
    """How the source was read: one of `speakerid.corpus.layouts.LAYOUTS`."""
    recordings: list[Recording]
    """By speaker, session and name; numbers in them by value, so that take2 comes before take10."""
    remarks: list[str]
    """One line for each thing that was passed over, or is doubtful."""


def look(name: str) -> str:
    """A name without the differences that are hard to see: capitals, spaces, accents, and the form of a number."""
    name = re.sub(r"[\s_-]+", " ", unicodedata.normalize("NFKC", name).casefold()).strip()
    return re.sub(r"0*(\d+)(\.0+)?", r"\1", name) if re.fullmatch(r"[\d.]+", name) else name


def in_order(recordings: Iterable[Recording]) -> list[Recording]:
    """By speaker, session and name, numbers by value."""
    speakers = defaultdict[str, list[Recording]](list)
    for recording in recordings:
        speakers[recording.speaker].append(recording)
    names = sorted(speakers, key=lambda speaker: (natural(speaker), speaker))
    return [recording for speaker in names for recording in sorted(speakers[speaker], key=_order)]


def _order(recording: Recording) -> tuple[object, ...]:
    session, file = recording.session or "", recording.path.name
    whole = recording.name if recording.start is None else recording.name.rpartition("#")[0]
    return natural(session), session, natural(file), whole, recording.start or 0.0, recording.end or math.inf


def natural(text: str) -> tuple[object, ...]:
    """Sort key by which numbers in a text count by their value, so that take2 comes before take10."""
    # Words and numbers take turns, so that equal places always compare; a folder's end comes before any character.
    parts = re.split("([0-9]+)", text.replace("/", "\0"))
    return tuple((len(digits := part.lstrip("0")), digits) if place % 2 else part for place, part in enumerate(parts))
