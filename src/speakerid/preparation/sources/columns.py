"""Meaning of the columns of a table of recordings, derived from their names."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from speakerid.base.errors import UserError
from speakerid.base.printing import printable
from speakerid.preparation.sources.listed_recordings import Time, Unit
from speakerid.preparation.sources.text_table import column_key

_SYNONYMS = {
    "path": (
        "path", "file", "filename", "file_name", "filepath", "file_path", "wav", "audio", "audio_path",
        "audio_filepath", "audio_file_path", "audio_file", "audiofile", "audio_filename", "wav_path", "wav_file",
        "wav_filepath", "wav_filename", "wavpath", "wavfile", "full_path", "relative_path", "fname", "recording",
        "recording_path", "sound", "clip", "location", "uri",
    ),
    "speaker": (
        "speaker", "speaker_id", "speakerid", "speaker_name", "speakers", "spk", "spk_id", "spkid", "spkr", "spkr_id",
        "client_id", "talker", "talker_id", "reader", "reader_id", "person", "person_id", "subject", "subject_id",
        "participant", "participant_id", "user", "user_id", "voice", "speaker_label", "label", "name", "class",
    ),
    "annotation": (
        "annotation", "annotations", "annotation_path", "annotation_file", "annotation_filepath", "rttm", "rttm_path",
        "rttm_file", "rttm_filepath", "textgrid", "textgrid_path", "eaf",
    ),
    "session": ("session", "session_id", "sessionid", "occasion", "video", "video_id"),
    "start": (
        "start", "begin", "start_time", "begin_time", "time_start", "onset", "start_seconds", "start_second",
        "start_sec", "start_s", "begin_s",
        "begin_sec", "begin_seconds", "onset_s", "beg", "tbeg", "t_start", "tstart", "tmin",
        "xmin", "from", "since", "start_at", "segment_start", "seg_start", "offset", "offset_s", "offset_seconds",
    ),
    "start_ms": ("start_ms", "start_msec", "start_millis", "start_milliseconds", "start_time_ms", "begin_ms",
                 "onset_ms", "offset_ms"),
    "start_samples": ("start_sample", "start_samples", "sample_start", "first_sample", "begin_sample", "begin_samples",
                      "frame_offset", "offset_samples", "sample_offset"),
    "end": (
        "end", "stop", "end_time", "stop_time", "time_end", "end_seconds", "end_second", "end_sec", "end_s", "stop_s",
        "stop_sec", "stop_seconds", "finish", "tend", "t_end", "tmax", "xmax", "to", "until", "end_at", "segment_end",
        "seg_end",
    ),
    "end_ms": ("end_ms", "end_msec", "end_millis", "end_milliseconds", "end_time_ms", "stop_ms", "stop_msec"),
    "end_samples": ("end_sample", "end_samples", "sample_end", "last_sample", "stop_sample", "stop_samples"),
    "duration": (
        "duration", "dur", "duration_seconds", "duration_sec", "duration_s", "dur_s", "dur_sec", "seconds", "secs",
        "length_seconds", "length_sec", "length_s", "segment_duration", "length", "len",
    ),
    "duration_ms": ("duration_ms", "duration_msec", "duration_milliseconds", "dur_ms", "length_ms"),
    "duration_samples": ("num_samples", "n_samples", "nsamples", "number_of_samples", "samples", "duration_samples",
                         "length_samples", "num_frames"),
    "channel": ("channel", "chan", "channel_id", "channel_number", "channel_index", "ch", "side", "call_side"),
    "rate": ("sample_rate", "samplerate", "sampling_rate", "sr", "fs"),
}  # fmt: skip
UNITS: dict[str, Unit] = {"": "s", "_ms": "ms", "_samples": "samples"}
AMBIGUOUS = ("label", "name", "class", "user", "user_id", "voice")
"""Names that may mean something other than a speaker; reading one as a speaker is reported."""
SPEECHBRAIN = {"id", "duration", "wav", "start", "stop"}
"""Columns of SpeechBrain's manifests, which give start and stop in samples and the duration of the whole file."""


def find_columns(header: Sequence[str]) -> dict[str, int]:
    """Index of each column by its meaning.

    Raises:
        UserError: two columns that are read have the same name.
    """
    keys = [column_key(name) for name in header]
    columns: dict[str, int] = {}
    for meaning, synonyms in _SYNONYMS.items():
        if found := next((name for name in synonyms if name in keys), None):
            columns[meaning] = keys.index(found)
            if keys.count(found) > 1:
                raise UserError(f"first line: found several columns called {found}, expected one; rename the others")
    if "onset" in keys and "offset" in keys:  # in lists of sound events, offset is the end of an event
        columns.setdefault("end", keys.index("offset"))
    if (
        "num_frames" in keys
        and "start_samples" not in columns
        and columns.get("duration_samples") == keys.index("num_frames")
    ):
        del columns["duration_samples"]  # here num_frames counts feature frames, not samples
    return columns


def has_required_columns(columns: Collection[str]) -> bool:
    """Whether columns are those of a table of recordings, with a speaker or an annotation each."""
    return "path" in columns and ("speaker" in columns or "annotation" in columns)


def unread_columns(header: Sequence[str], columns: Mapping[str, int]) -> list[str]:
    """Names of the columns that are not read."""
    used = set(columns.values())
    return [printable(name) or f"number {index + 1}" for index, name in enumerate(header)
            if index not in used and (name or index + 1 < len(header))]  # fmt: skip


def parse_time(column: str, text: str, unit: Unit, comma: bool) -> Time | None:
    """Parse a time such as 12.5, 1:05.5 or 12.5 s; None if the field is empty.

    Args:
        column: name of the column, for messages.
        text: content of the field.
        unit: unit of plain numbers.
        comma: accept a decimal comma in plain numbers (12,5); it is always accepted after a colon.

    Raises:
        UserError: the field is not a time.
    """
    if not text:
        return None
    clock = re.fullmatch(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:[.,]\d*)?)", text)
    if clock and unit == "s":
        hours, minutes, seconds = (float((part or "0").replace(",", ".")) for part in clock.groups())
        return Time(3600 * hours + 60 * minutes + seconds)
    number = re.fullmatch(r"(.*?)\s*(s|sec|ms)?", text, re.DOTALL)
    assert number
    plain = number[1].replace(",", ".") if comma and number[1].count(",") == 1 and "." not in number[1] else number[1]
    try:
        value = float(plain) if "_" not in plain else None
    except ValueError:
        value = None
    if value is None or not 0 <= value < float("inf"):
        raise UserError(f"{column}: found {printable(text)!r}, expected {_expected(unit)}")
    if number[2]:
        unit = "ms" if number[2] == "ms" else "s"
    return Time(value, unit)


def _expected(unit: Unit) -> str:
    return {
        "s": "seconds such as 12.5 or 1:05.5",
        "ms": "milliseconds such as 12500",
        "samples": "a number of samples",
    }[unit]


def channel_indices(texts: Iterable[str]) -> dict[str, int] | None:
    """Zero-based index of each channel named in a column: 1 and 2, A and B, left and right; 0 and 1 if 0 occurs.

    Returns:
        Index by field. Fields that do not name a channel are left out. None if no field names one, so the column
        means something else.
    """
    fields = set(texts) - {""}
    numbers = {field: int(float(match[1])) for field in fields
               if (match := re.fullmatch(r"(?:ch(?:an|annel)?[ _-]?)?(\d{1,4}(?:\.0)?)", field.lower()))}  # fmt: skip
    first = 0 if 0 in numbers.values() else 1
    indices = {field: number - first for field, number in numbers.items()}
    letters = {"a": 0, "b": 1, "l": 0, "r": 1, "left": 0, "right": 1}
    indices |= {field: letters[field.lower()] for field in fields if field.lower() in letters}
    return indices or (None if fields else {})
