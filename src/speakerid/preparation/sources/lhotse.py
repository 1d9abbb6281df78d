"""lhotse manifests in JSON Lines: recordings with supervisions, or cuts."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from speakerid.base.errors import UserError
from speakerid.base.printing import printable
from speakerid.preparation.sources.decoder_commands import plain_file
from speakerid.preparation.sources.listed_recordings import RecordingBuilder, Row, Time
from speakerid.preparation.sources.manifests import entries, lhotse_kind
from speakerid.preparation.sources.recordings import Recording
from speakerid.preparation.sources.walk import Remarks

WHOLE_TOLERANCE = 0.02
"""Tolerance in seconds for a supervision to count as the whole recording."""


def read_lhotse(path: Path, root: Path, remarks: Remarks) -> list[Recording]:
    """Read the supervisions of a manifest as recordings.

    Args:
        path: manifest of cuts, recordings or supervisions. Recordings and supervisions are found from one another.
        root: folder that names of recordings are relative to.
        remarks: collects what is skipped.

    Raises:
        UserError: a manifest cannot be read, or the matching one is missing.
        CorpusError: lists every wrong entry.
    """
    _, first = next(entries(path), ("", {}))
    kind = lhotse_kind(first)
    builder = RecordingBuilder(path, root, remarks)
    if kind == "cuts":
        found = _from_cuts(path, builder)
    else:
        supervisions = path if kind == "supervisions" else _matching_manifest(path, "recordings", "supervisions")
        recordings = path if kind == "recordings" else _matching_manifest(path, "supervisions", "recordings")
        found = _from_supervisions(recordings, supervisions, builder)
    for where, recording, supervision, offset in found:
        if transforms := _transforms(recording):
            remarks.skipped(
                printable(str(supervision.get("id"))), f"its recording is transformed by {transforms} when read"
            )
            continue
        try:
            builder.add(_row(where, recording, supervision, offset))
        except UserError as error:
            builder.problems.append(f"{where}: {error}")
        except KeyError as error:
            builder.problems.append(f"{where}: no {error.args[0]}; write the manifest again")
        except (AttributeError, OverflowError, TypeError, ValueError) as error:
            builder.problems.append(f"{where}: a value of the wrong type ({printable(error)}); write it again")
    return builder.recordings()


def recordings_manifest(path: Path) -> Path | None:
    """Manifest of recordings that belongs to a manifest of supervisions, by its name; None if there is none."""
    other = path.with_name(path.name.replace("supervisions", "recordings"))
    return other if other != path and other.is_file() else None


Found = Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any], float]]
"""Position for messages, recording, supervision, and offset in seconds of its times in the recording."""


def _from_supervisions(recordings: Path, supervisions: Path, builder: RecordingBuilder) -> Found:
    known = {str(content.get("id")): content for _, content in entries(recordings)}
    for where, supervision in entries(supervisions):
        recording = known.get(str(supervision.get("recording_id")))
        if recording is None:
            name = printable(supervision.get("recording_id"))
            builder.problems.append(f"{where}: recording_id: found {name}, which is not in {recordings.name}")
        else:
            yield where, recording, supervision, 0.0


def _from_cuts(path: Path, builder: RecordingBuilder) -> Found:
    for where, cut in entries(path):
        recording = cut.get("recording")
        if not isinstance(recording, dict):
            kind = printable(cut.get("type", "cut"))
            builder.problems.append(f"{where}: found a {kind} without a recording, expected a MonoCut or MultiCut")
            continue
        spoken = cut.get("supervisions")
        for supervision in spoken if isinstance(spoken, list) else ():
            if isinstance(supervision, dict):
                yield where, recording, {"channel": cut.get("channel"), **supervision}, cut.get("start", 0.0)


def _transforms(recording: Mapping[str, Any]) -> str:
    """Transforms that lhotse applies on reading and this package does not; resampling and volume do not matter."""
    transforms = recording.get("transforms")
    listed = transforms if isinstance(transforms, list) else ()
    names = [str(one.get("name", "")) if isinstance(one, dict) else "" for one in listed]
    return printable(", ".join(name or "a transform" for name in names if name not in ("Resample", "Volume")))


def _row(where: str, recording: Mapping[str, Any], supervision: Mapping[str, Any], offset: float) -> Row:
    named = supervision.get("channel") or 0
    channels = [int(channel) for channel in (named if isinstance(named, list) else [named])]
    path, channel = _source(recording, channels)
    start = float(supervision["start"]) + float(offset)
    end = start + float(supervision["duration"])
    length = float(recording.get("duration") or 0)
    whole = abs(start) < WHOLE_TOLERANCE and abs(end - length) < WHOLE_TOLERANCE
    times = (
        () if whole else (Time(round(max(start, 0.0) if start > -WHOLE_TOLERANCE else start, 6)), Time(round(end, 6)))
    )
    speaker = supervision.get("speaker")
    session = "" if whole else str(recording["id"])
    return Row(where, path, "" if speaker is None else str(speaker).strip(), session, *times, channel=channel)


def _source(recording: Mapping[str, Any], channels: list[int]) -> tuple[str, int | None]:
    """File with the given channels of a recording, and the index of the channel in it; None for all channels."""
    sources = [one for one in recording["sources"] if set(channels) & set(one.get("channels") or channels)]
    if not sources:
        raise UserError(f"channel: found {channels[0]}, which no source of recording {recording['id']} has")
    source, held = sources[0], sources[0].get("channels") or channels
    path = str(source["source"])
    if source.get("type") == "command":
        path, channel = plain_file(path)
        if channel is not None:
            return path, channel
    elif source.get("type", "file") != "file":
        raise UserError(f"source: found type {source.get('type')}, expected a file; export the recordings to files")
    if len(held) == 1 or set(held) <= set(channels):
        return path, None
    if len(channels) > 1:
        raise UserError("channel: found several of the channels of a file, expected one, or all of them")
    return path, held.index(channels[0])


def _matching_manifest(path: Path, one: str, other: str) -> Path:
    manifest = path.with_name(path.name.replace(one, other))
    if manifest == path or not manifest.is_file():
        raise UserError(f"{path}: found lhotse's {one}; expected its {other} next to it, named {manifest.name}")
    return manifest
