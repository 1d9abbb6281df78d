"""Recordings found on disk: their names and their order."""

import math
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Recording:
    """An audio file, or a segment of one, with one speaker."""

    path: Path
    name: str
    """Unique printable name: path relative to the source, plus `#ch1` for a channel and `#start-end` for a segment."""
    speaker: str
    session: str | None
    """Recording session, unique within the speaker; None if unknown."""
    start: float | None = None
    """Start in seconds; None for the beginning of the file."""
    end: float | None = None
    """End in seconds; None for the end of the file."""
    channel: int | None = None
    """Zero-based index of the channel to read; None for the mean of all channels."""


@dataclass(frozen=True)
class Scan:
    """Recordings found in a source."""

    layout: str
    """Layout of the source, one of `speakerid.preparation.sources.layouts.LAYOUTS`."""
    recordings: list[Recording]
    """Recordings in natural order of speaker, session and name, so that take2 comes before take10."""
    remarks: list[str]
    """One line for each thing that was skipped or is doubtful."""
    left_out: str = ""
    """What was left out of annotated recordings, in one line; empty if there are none."""


def normalize_name(name: str) -> str:
    """Normalize a name so that names that look alike are equal: case, spaces, Unicode forms, and number format."""
    name = re.sub(r"[\s_-]+", " ", unicodedata.normalize("NFKC", name).casefold()).strip()
    return re.sub(r"0*(\d+)(\.0+)?", r"\1", name) if re.fullmatch(r"[\d.]+", name) else name


def sort_recordings(recordings: Iterable[Recording]) -> list[Recording]:
    """Sort recordings by speaker, session and name, in natural order."""
    speakers = defaultdict[str, list[Recording]](list)
    for recording in recordings:
        speakers[recording.speaker].append(recording)
    names = sorted(speakers, key=lambda speaker: (natural_key(speaker), speaker))
    return [recording for speaker in names for recording in sorted(speakers[speaker], key=_order)]


def _order(recording: Recording) -> tuple[object, ...]:
    session, file = recording.session or "", recording.path.name
    whole = recording.name if recording.start is None else recording.name.rpartition("#")[0]
    return natural_key(session), session, natural_key(file), whole, recording.start or 0.0, recording.end or math.inf


def natural_key(text: str) -> tuple[object, ...]:
    """Sort key for natural order: numbers compare by value, so take2 comes before take10."""
    # Text and numbers alternate, so equal indices are comparable; the end of a folder sorts before any character.
    parts = re.split("([0-9]+)", text.replace("/", "\0"))
    return tuple((len(digits := part.lstrip("0")), digits) if index % 2 else part for index, part in enumerate(parts))
