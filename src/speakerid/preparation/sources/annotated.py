"""Recordings with annotations of who speaks when: RTTM, TextGrid, ELAN, Audacity, subtitles and transcripts."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from speakerid.annotations.elan import Media, read_elan
from speakerid.annotations.formats import format_of, read_annotation
from speakerid.annotations.rttm import read_uem
from speakerid.annotations.speech import LONGEST, SHORTEST, Spoken, utterances_in
from speakerid.annotations.turns import Turn, read_text
from speakerid.base.errors import UserError
from speakerid.base.printing import counted, listed, printable
from speakerid.preparation.sources.columns import channel_indices
from speakerid.preparation.sources.listed_recordings import RecordingBuilder, Row, Time
from speakerid.preparation.sources.recordings import Recording, natural_key
from speakerid.preparation.sources.walk import Remarks

BEYOND = 0.5
"""Seconds by which a turn may exceed the recording; it is cut there."""
MINUTE = 60.0
MAX_LINES = 30
"""Maximum number of speakers that have a line."""


@dataclass(frozen=True)
class TurnOptions:
    """How turns are read.

    Attributes:
        longest: seconds up to which turns of a speaker are joined, and at which longer ones are cut.
        tiers: names of the tiers to read; by default all, see `speakerid.annotations.tiers`.
    """

    longest: float = LONGEST
    tiers: tuple[str, ...] = ()


class Annotated(NamedTuple):
    """A recording and its annotation."""

    recording: Path
    annotation: Path
    session: str
    """Name of the session; every recording is one."""
    ids: tuple[str, ...] = ()
    """File ids of the recording in an annotation of several; any if empty."""


@dataclass
class Totals:
    """Seconds of all annotated recordings, by speaker and by what is left out."""

    annotated: dict[str, float] = field(default_factory=dict)
    used: dict[str, float] = field(default_factory=dict)
    utterances: dict[str, int] = field(default_factory=dict)
    recordings: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, float] = field(default_factory=dict)

    def add(self, spoken: Sequence[Spoken]) -> None:
        """Add the channels of one recording."""
        for name in {name for one in spoken for name in one.annotated}:
            for mine, theirs in ((self.annotated, "annotated"), (self.used, "used")):
                mine[name] = mine.get(name, 0.0) + sum(getattr(one, theirs).get(name, 0.0) for one in spoken)
            count = sum(utterance.speaker == name for one in spoken for utterance in one.utterances)
            self.utterances[name] = self.utterances.get(name, 0) + count
            self.recordings[name] = self.recordings.get(name, 0) + 1
        for reason, seconds in (
            ("in which several people speak", sum(one.overlapping for one in spoken)),
            ("of turns without a speaker", sum(one.unnamed for one in spoken)),
            ("outside the regions of the UEM", sum(one.outside for one in spoken)),
            (f"in parts shorter than {SHORTEST:g} s", sum(one.short for one in spoken)),
        ):
            self.left_out[reason] = self.left_out.get(reason, 0.0) + seconds

    def lines(self) -> list[str]:
        """Minutes of each speaker, and what was left out."""
        lines = [
            f"{printable(name)}: {self.used[name] / 60:.1f} of {self.annotated[name] / 60:.1f} annotated minutes, "
            f"{counted(self.utterances[name], 'utterance')} from {counted(self.recordings[name], 'recording')}"
            for name in sorted(self.annotated, key=lambda name: (natural_key(name), name))
        ]
        if len(lines) > MAX_LINES:
            lines[MAX_LINES:] = [f"and {len(lines) - MAX_LINES} more speakers"]
        return [*lines, self.summary()]

    def summary(self) -> str:
        """What was left out, in one line."""
        parts = [
            f"{seconds:.1f} s {reason}" if seconds < MINUTE else f"{seconds / 60:.1f} min {reason}"
            for reason, seconds in self.left_out.items()
            if seconds >= 0.05
        ]
        return f"left out: {', '.join(parts) or 'nothing'}"


class AnnotationReader:
    """Cuts annotated recordings into utterances, and counts minutes.

    Args:
        remarks: collects what is doubtful, and the minutes of each speaker.
        options: how turns are read.
    """

    def __init__(self, remarks: Remarks, options: TurnOptions) -> None:
        self.remarks, self._options = remarks, options
        self._totals = Totals()
        self._tiers = set[str]()
        self.annotated = 0
        """Number of annotated recordings."""

    @property
    def left_out(self) -> str:
        """What was left out, in one line; empty if nothing was annotated."""
        return self._totals.summary() if self.annotated else ""

    def read(self, annotated: Iterable[Annotated], root: Path) -> list[Recording]:
        """Cut recordings into utterances.

        Args:
            annotated: recordings and their annotations.
            root: folder that names of recordings are relative to.

        Raises:
            UserError: an annotation cannot be read, names no speaker, or does not fit its recording.
        """
        found: list[Recording] = []
        for one in annotated:
            found += self._recordings(one, root)
            self.annotated += 1
        for name in self._options.tiers if self.annotated else ():
            if name not in self._tiers:
                known = listed([printable(one) for one in sorted(self._tiers)])
                raise UserError(f"--tiers: found {printable(name)}, which no annotation has; expected some of {known}")
        for line in self._totals.lines() if found else ():
            self.remarks.note(line)
        return found

    def _recordings(self, one: Annotated, root: Path) -> list[Recording]:
        builder = RecordingBuilder(one.annotation, root, self.remarks)
        read = read_annotation(one.annotation, self._options.tiers)
        self._tiers.update(read.tiers)
        turns = [turn for turn in read.turns if _is_of(turn.recording, one)]
        if not any(turn.speaker for turn in turns):
            found = f"{counted(len(turns), 'turn')} without a speaker" if turns else "no turns"
            raise UserError(
                f"{one.annotation}: found {found}, expected turns that name speakers; {_remedy(one.annotation)}"
            )
        turns = list(_fitted(_shifted(turns, one), one, builder))
        channels = _channels(turns, one, builder)
        regions, path = _regions(one), str(one.recording.absolute())
        everything: list[Spoken] = []
        for channel in sorted(set(channels.values()), key=lambda index: -1 if index is None else index):
            some = [turn for turn in turns if channels[turn.channel] == channel]
            spoken = utterances_in(some, regions, self._options.longest)
            for start, end, speaker in spoken.utterances:
                builder.add(Row(speaker, path, speaker, one.session, Time(start), Time(end), channel=channel))
            everything.append(spoken)
        self._totals.add(everything)
        return builder.recordings()


def media_of(annotation: Path) -> list[Media]:
    """The recordings that an ELAN file names.

    Raises:
        UserError: it cannot be read.
    """
    content = read_text(annotation).content
    try:
        return read_elan(content).media
    except UserError as error:
        raise UserError(f"{annotation}: {error}") from error


def _remedy(path: Path) -> str:
    if format_of(path) in ("textgrid", "elan"):
        return "give every speaker a tier, or name the speakers in a tier called speaker"
    if format_of(path) in ("srt", "vtt"):
        return "begin cues with the speaker, such as ANN: hello"
    return "write the speakers into it"


def _is_of(recording: str, one: Annotated) -> bool:
    return not one.ids or recording in one.ids


def _shifted(turns: Sequence[Turn], one: Annotated) -> Sequence[Turn]:
    """Turns in the time of the recording; ELAN can begin an annotation later than its recording."""
    if format_of(one.annotation) != "elan":
        return turns
    origin = next((other.origin for other in media_of(one.annotation) if other.name == one.recording.name), 0.0)
    return [replace(turn, start=turn.start + origin, end=turn.end + origin) for turn in turns] if origin else turns


def _fitted(turns: Iterable[Turn], one: Annotated, builder: RecordingBuilder) -> Iterator[Turn]:
    """Turns within the recording.

    Raises:
        UserError: a turn is beyond its end.
    """
    header = builder.header(str(one.recording.absolute()))
    length = header.seconds if header and header.seconds else float("inf")
    for turn in turns:
        if turn.end > length + BEYOND or turn.start >= length:
            raise UserError(
                f"{one.annotation}: {turn.where}: end: found {turn.end:g} s, expected at most {length:.2f} s, the "
                f"length of {printable(one.recording.name)}; give the recording that was annotated"
            )
        yield replace(turn, end=min(turn.end, length))


def _channels(turns: Iterable[Turn], one: Annotated, builder: RecordingBuilder) -> Mapping[str, int | None]:
    """Index of each channel as written; None, for all channels, unless the turns are in several."""
    named = {turn.channel for turn in turns}
    header = builder.header(str(one.recording.absolute()))
    if len(named - {""}) < 2 or not header or header.channels < 2:
        return dict.fromkeys(named)
    indices = channel_indices(named) or {}
    for channel in sorted(named - {""}):
        if indices.get(channel, header.channels) >= header.channels:
            raise UserError(
                f"{one.annotation}: channel: found {printable(channel)}, expected one of the {header.channels} of "
                f"{printable(one.recording.name)}"
            )
    return {channel: indices.get(channel) for channel in named}


def _regions(one: Annotated) -> list[tuple[float, float]] | None:
    """Annotated regions by the UEM files next to an RTTM file; None if they do not name the recording."""
    if format_of(one.annotation) != "rttm":
        return None
    regions: list[tuple[float, float]] = []
    for name in _uem_files(one.annotation.parent):
        path = one.annotation.parent / name
        try:
            found = read_uem(read_text(path).content)
        except UserError as error:
            raise UserError(str(error) if str(error).startswith(str(path)) else f"{path}: {error}") from error
        for recording in one.ids or found:
            regions += found.get(recording, [])
    return regions or None


def _uem_files(folder: Path) -> Collection[str]:
    return sorted(name for name in os.listdir(folder) if name.lower().endswith(".uem"))
