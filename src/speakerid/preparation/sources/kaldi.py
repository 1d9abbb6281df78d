"""Kaldi data directories: wav.scp, segments, utt2spk, reco2file_and_channel."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from speakerid.base.errors import UserError
from speakerid.base.files import check_regular
from speakerid.base.printing import printable
from speakerid.preparation.sources.columns import channel_indices
from speakerid.preparation.sources.decoder_commands import plain_file
from speakerid.preparation.sources.listed_recordings import RecordingBuilder, Row, Time
from speakerid.preparation.sources.recordings import Recording
from speakerid.preparation.sources.text_table import naming_errors
from speakerid.preparation.sources.walk import Remarks


class _Segment(NamedTuple):
    where: str
    recording: str
    start: Time | None = None
    end: Time | None = None
    channel: int | None = None


def read_kaldi(folder: Path, root: Path, remarks: Remarks) -> list[Recording]:
    """Read the utterances of a data directory.

    With a `segments` file, the recording of an utterance is its session. Without one, every recording is one utterance.

    Raises:
        UserError: a file is missing or cannot be read.
        CorpusError: lists every wrong line.
    """
    builder = RecordingBuilder(folder / "wav.scp", root, remarks)
    problems = builder.problems
    sounds = {name: (where, rest) for where, name, rest in _pairs(folder / "wav.scp", problems)}
    speakers = _speakers(folder, problems)
    segments = _segments(folder / "segments", problems)
    if not segments:
        segments = {name: _Segment(where, name) for name, (where, _) in sounds.items()}
    sides = _sides(folder / "reco2file_and_channel", problems)
    for utterance, segment in segments.items():
        where = f"{segment.where}, {printable(utterance)}"
        if utterance not in speakers:
            remarks.skipped(printable(utterance), f"no line of {folder.name}/utt2spk")
        elif segment.recording not in sounds:
            problems.append(f"{where}: recording {printable(segment.recording)} is not in wav.scp")
        else:
            _add(builder, segment, where, sounds[segment.recording][1], speakers[utterance], sides)
    for utterance in [one for one in speakers if one not in segments]:
        remarks.skipped(printable(utterance), f"in {folder.name}/utt2spk, but in no line of segments or wav.scp")
    return builder.recordings()


def _add(
    builder: RecordingBuilder, segment: _Segment, where: str, sound: str, speaker: str, sides: dict[str, int]
) -> None:
    try:
        path, channel = plain_file(sound) if sound.endswith("|") else (sound, None)
        if channel is None and segment.recording in sides:
            header = builder.header(path)  # a mono file already holds just this side
            channel = sides[segment.recording] if header and header.channels > 1 else None
        channel = segment.channel if channel is None else channel
        session = segment.recording if segment.start else ""
        builder.add(Row(where, path, speaker, session, segment.start, segment.end, channel=channel))
    except UserError as error:
        builder.problems.append(f"{where}: {error}")


def _pairs(path: Path, problems: list[str]) -> Iterator[tuple[str, str, str]]:
    """Read file and line number, first word and rest of every line.

    Raises:
        UserError: the file is missing or cannot be read.
    """
    seen: dict[str, str] = {}
    for where, line in _lines(path):
        name, _, rest = line.partition(" ")
        if not rest.strip():
            problems.append(f"{where}: found {printable(line)!r}, expected a name and a value")
        elif name in seen:
            problems.append(f"{where}: {printable(name)} is already in {seen[name]}; delete one of the two lines")
        else:
            seen[name] = where
            yield where, name, rest.strip()


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    with naming_errors(path):
        if not path.exists():
            raise UserError("missing; expected Kaldi's wav.scp and utt2spk in one folder")
        check_regular(path)
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if line := line.replace("\t", " ").strip():
                    yield f"{path.name} line {number}", line


def _speakers(folder: Path, problems: list[str]) -> dict[str, str]:
    """Speaker of each utterance, from utt2spk or else spk2utt."""
    if (folder / "utt2spk").exists() or not (folder / "spk2utt").exists():
        return {name: rest for _, name, rest in _pairs(folder / "utt2spk", problems)}
    return {one: name for _, name, rest in _pairs(folder / "spk2utt", problems) for one in rest.split()}


def _segments(path: Path, problems: list[str]) -> dict[str, _Segment]:
    segments: dict[str, _Segment] = {}
    for where, name, rest in _pairs(path, problems) if path.exists() else ():
        recording, *numbers = rest.split()
        try:
            start, end, *channel = map(float, numbers)
            if len(channel) > 1 or start >= end > 0:
                raise ValueError
        except ValueError:
            problems.append(f"{where}: found {printable(rest)!r}, expected RECORDING START END in seconds, START < END")
            continue
        last = Time(end) if end >= 0 else None  # -1 means the end of the recording
        segments[name] = _Segment(where, recording, Time(start), last, int(channel[0]) if channel else None)
    return segments


def _sides(path: Path, problems: list[str]) -> dict[str, int]:
    """Channel index of each recording that is one side of a call."""
    if not path.exists():
        return {}
    sides = {name: (where, rest.split()[-1]) for where, name, rest in _pairs(path, problems)}
    indices = channel_indices(side for _, side in sides.values()) or {}
    for name, (where, side) in sides.items():
        if side not in indices:
            problems.append(f"{where}: channel of {printable(name)}: found {printable(side)!r}, expected A, B, 1 or 2")
    return {name: indices[side] for name, (_, side) in sides.items() if side in indices}
