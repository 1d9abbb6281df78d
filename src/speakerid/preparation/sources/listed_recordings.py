"""Turn rows of tables and manifests into recordings, with the same checks of paths, times and channels for all."""

import heapq
import math
import os
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import unquote

from speakerid.audio.decode import EXTENSIONS
from speakerid.audio.opening import open_recording
from speakerid.base.errors import CorpusError, UserError
from speakerid.base.printing import nfc, printable
from speakerid.preparation.sources.recordings import Recording
from speakerid.preparation.sources.walk import Remarks, describe_path

PROBED = 20
"""Number of recordings whose length is compared with the listed times, to detect a wrong unit."""
OVERLAP = 0.5
"""Seconds by which speakers may overlap without a remark."""
Unit = Literal["s", "ms", "samples"]


class Header(NamedTuple):
    """Header of a recording, read without decoding."""

    rate: int
    """Sample rate in Hz."""
    channels: int
    """Number of channels."""
    seconds: float | None
    """Duration, None if unknown without decoding."""


class Time(NamedTuple):
    """A time in its unit."""

    value: float
    unit: Unit = "s"


@dataclass(frozen=True, slots=True)
class Row:
    """One utterance as a listing gives it.

    Attributes:
        where: line or entry, for messages.
        path: path of the recording, as written.
        speaker: name of the speaker, as written.
        session: name of the session, as written; empty if not given.
        start: start of the segment; None if not given.
        end: end of the segment; None if not given.
        duration: duration of the segment or, without a start, possibly of the file.
        channel: zero-based index; None if not given.
        rate: sample rate in Hz of times in samples; None for the file's own.
    """

    where: str
    path: str
    speaker: str
    session: str = ""
    start: Time | None = None
    end: Time | None = None
    duration: Time | None = None
    channel: int | None = None
    rate: float | None = None


class RecordingBuilder:
    """Recordings from the rows of one listing.

    Args:
        source: the listing. Paths are looked up relative to its folder, the current folder and the two folders above
            the listing's, in this order.
        root: folder that names of recordings are relative to.
        remarks: collects what is doubtful.
        unread: columns that are not read, for messages on repeated rows.
    """

    def __init__(self, source: Path, root: Path, remarks: Remarks, unread: Iterable[str] = ()) -> None:
        self._source, self._remarks, self._unread = source, remarks, ", ".join(unread)
        self._root = os.path.join(os.path.abspath(root), "")
        folder = os.path.abspath(source.parent)
        above = os.path.dirname(folder)
        self._bases = list(dict.fromkeys([folder, os.getcwd(), above, os.path.dirname(above)]))
        self._used = set[str]()
        self._paths: dict[str, str] = {}
        self._headers: dict[str, Header | None] = {}
        self._taken: dict[str, tuple[str, Recording]] = {}
        self._timed: list[Recording] = []
        self._doubts: dict[str, list[str]] = {}
        self.problems: list[str] = []

    def add(self, row: Row) -> None:
        """Add one row, or its problem."""
        try:
            self._add(row)
        except UserError as error:
            self.problems.append(f"{row.where}: {error}")

    def recordings(self) -> list[Recording]:
        """All recordings in row order.

        Raises:
            CorpusError: lists every wrong row.
            UserError: the times seem to be in another unit.
        """
        if self.problems:
            raise CorpusError(self._source, self.problems)
        self._check_unit()
        self._doubt_overlaps()
        for base in self._bases[1:]:
            if base in self._used:
                self._remarks.note(f"paths in {self._source.name} are read from {printable(base)}")
        for doubt, rows in self._doubts.items():
            more = f" and {len(rows) - 3:,} more" if len(rows) > 3 else ""
            self._remarks.doubt(f"{doubt}: {', '.join(rows[:3])}{more}")
        return [recording for _, recording in self._taken.values()]

    def header(self, text: str) -> Header | None:
        """Header of the recording with a path as written in a row; None if it cannot be read.

        Raises:
            UserError: the file is not found.
        """
        full = self.find(text)
        if full not in self._headers:
            self._headers[full] = _header(Path(full))
        return self._headers[full]

    def _add(self, row: Row) -> None:
        if not row.path or not row.speaker:
            raise UserError(f"no {'speaker' if row.path else 'path'}")
        full = self.find(row.path)
        start, end = self._segment(row)
        below = full.startswith(self._root)
        name = printable(full[len(self._root) :] if below else os.path.relpath(full, self._root))
        if row.channel is not None:
            name += f"#ch{row.channel + 1}"
        if start is not None:
            name += f"#{start!r}".removesuffix(".0") + (f"-{end!r}".removesuffix(".0") if end is not None else "-")
        session = sys.intern(nfc(printable(row.session))) or None
        speaker = sys.intern(nfc(printable(row.speaker)))
        recording = Recording(Path(full), name, speaker, session, start, end, row.channel)
        where, earlier = self._taken.setdefault(name, (row.where, recording))
        if earlier is not recording:
            self._add_repeated(row, where, earlier, recording)
        elif start is not None and {time.unit for time in (row.start, row.end, row.duration) if time} == {"s"}:
            self._timed.append(recording)

    def _add_repeated(self, row: Row, where: str, earlier: Recording, recording: Recording) -> None:
        hint = f"; columns that are not read: {self._unread}" if self._unread else ""
        if earlier.speaker != recording.speaker:
            raise UserError(
                f"{recording.name}: found speaker {recording.speaker} here, but {earlier.speaker} in {where}; "
                f"separate their segments by columns start, end or channel, or correct the speaker{hint}"
            )
        self._doubt(f"the same segment as an earlier row, used once{hint}", f"{row.where} ({recording.name})")

    def _doubt(self, doubt: str, row: str) -> None:
        self._doubts.setdefault(doubt, []).append(row)

    def find(self, text: str, endings: Sequence[str] = EXTENSIONS) -> str:
        """Absolute path of a recording, or of a file with other endings; `..` is resolved without following links.

        Raises:
            UserError: the file is not found, or has another ending.
        """
        if text not in self._paths:
            self._paths[text] = self._search(_local(text), endings)
        return self._paths[text]

    def _search(self, text: str, endings: Sequence[str]) -> str:
        ending = os.path.splitext(text)[1]
        if ending.lower() not in endings:
            found = printable(ending) or "none"
            expected = ".wav, .flac, .mp3" if endings is EXTENSIONS else ", ".join(endings)
            raise UserError(f"{printable(text)}: found the ending {found}, expected one such as {expected}")
        for written in dict.fromkeys((text, text.replace("\\", "/"))):
            for base in self._bases:
                full = os.path.normpath(os.path.join(base, written))
                if os.path.isfile(full):
                    if not os.path.isabs(written):
                        self._used.add(base)
                    return full
        what = describe_path(Path(self._bases[0], text))
        if what != "no such file":
            raise UserError(f"{printable(text)}: found {what}, expected a file")
        hint = "; write / between folders" if "\\" in text else ""
        hint += "; replace the variable by the folder" if "$" in text or "{" in text else ""
        raise UserError(f"{printable(text)}: no such file, looked for in {printable(self._bases[0])}/{hint}")

    def _segment(self, row: Row) -> tuple[float | None, float | None]:
        """Start and end in seconds; (None, None) for the whole file."""
        start, end = self._seconds(row, "start", row.start), self._seconds(row, "end", row.end)
        duration = self._seconds(row, "duration", row.duration)
        if duration == 0:
            raise UserError("duration: found 0, expected more than 0; leave it empty to read to the end of the file")
        if end is None and duration is not None:
            whole = row.start is None and self._is_whole(row, duration)
            end = None if whole else round((start or 0.0) + duration, 6)
        elif end is not None and duration is not None and abs(end - (start or 0.0) - duration) > 0.1:
            self._doubt("duration differs from end - start, which is used", row.where)
        if end is not None and end <= (start or 0):
            raise UserError(f"end: found {end:g}, expected more than the start, {start or 0:g} seconds")
        return (start or 0.0, end) if start or end is not None else (None, None)

    def _is_whole(self, row: Row, duration: float) -> bool:
        """Whether a duration without a start is that of the file, up to rounding."""
        header = self.header(row.path)
        if header is None or header.seconds is None:
            return False
        longer = duration - header.seconds
        if longer > 1:
            self._doubt("duration is longer than the file; the whole file is used", row.where)
        return longer > -0.1 or (longer > -1 and duration == int(duration))

    def _seconds(self, row: Row, field: str, time: Time | None) -> float | None:
        if time is None:
            return None
        if not 0 <= time.value < math.inf:
            raise UserError(f"{field}: found {time.value:g}, expected 0 or more")
        if time.unit != "samples":
            return time.value if time.unit == "s" else time.value / 1000
        header = None if row.rate else self.header(row.path)
        rate = row.rate or (header and header.rate)
        if not rate or rate < 0:
            raise UserError(f"{field}: found samples of a file whose sample rate cannot be read; give seconds")
        return time.value / rate

    def _check_unit(self) -> None:
        """Refuse times that exceed the files as seconds, but not as samples or milliseconds."""
        last = [(recording.end or recording.start or 0.0, recording) for recording in self._timed]
        probed = heapq.nlargest(PROBED, last, key=lambda pair: pair[0])
        read = [(value, recording, self._headers_of(recording)) for value, recording in probed]
        known = [(value, r, header, header.seconds * 1.02 + 0.1) for value, r, header in read
                 if header and header.seconds]  # fmt: skip
        beyond = [one for one in known if one[0] > 10 * one[3]]
        if len(beyond) <= len(known) / 2:
            return
        fits = [
            unit
            for unit, rates in (
                ("milliseconds", [1000] * len(known)),
                ("samples", [header.rate for _, _, header, _ in known]),
            )
            if all(value / rate <= most for (value, _, _, most), rate in zip(known, rates, strict=True))
        ]
        if fits:
            value, recording, header, _ = beyond[0]
            raise UserError(
                f"{self._source}: times look like {' or '.join(fits)}: found {value:g} s in "
                f"{printable(recording.path.name)}, which is {header.seconds:.2f} s long; give seconds, or name the "
                "columns of a table after their unit: start_ms and end_ms, or start_sample and end_sample"
            )

    def _doubt_overlaps(self) -> None:
        """Report segments that overlap another speaker's, as they do if a start has no end."""
        by_file = defaultdict[tuple[Path, int | None], list[Recording]](list)
        for _, recording in self._taken.values():
            by_file[recording.path, recording.channel].append(recording)
        for recordings in by_file.values():
            recordings.sort(key=lambda recording: recording.start or 0.0)
            for one, following in pairwise(recordings):
                end = math.inf if one.end is None else one.end
                if one.speaker != following.speaker and end - (following.start or 0.0) > OVERLAP:
                    self._doubt("overlaps the speech of another speaker in the same file", one.name)

    def _headers_of(self, recording: Recording) -> Header | None:
        return self.header(str(recording.path))


def _header(path: Path) -> Header | None:
    """Read the header of a recording; None if it cannot be read."""
    try:
        with open_recording(path) as sound:
            return Header(sound.sample_rate, sound.channels, sound.length and sound.length / sound.sample_rate)
    except UserError:
        return None


def _local(text: str) -> str:
    """Remove `file://` or SpeechBrain's data-root variable from a path, and expand `~`."""
    text = text.removeprefix("$data_root/").removeprefix("{data_root}/")
    scheme, separator, _ = text.partition("://")
    if not separator or not scheme.isalnum():
        return os.path.expanduser(text) if text.startswith("~/") else text
    if scheme.lower() != "file":
        raise UserError(f"{printable(text)}: found a URL, expected a file; download it first")
    return unquote(text[len("file://") :].removeprefix("localhost"))
