"""Read recordings from tables: CSV, TSV, and the manifests of SpeechBrain and NeMo."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from speakerid.audio.decode import EXTENSIONS
from speakerid.base.errors import UserError
from speakerid.base.printing import printable
from speakerid.preparation.sources.columns import (
    AMBIGUOUS,
    SPEECHBRAIN,
    UNITS,
    channel_indices,
    find_columns,
    has_required_columns,
    parse_time,
    unread_columns,
)
from speakerid.preparation.sources.listed_recordings import RecordingBuilder, Row, Time
from speakerid.preparation.sources.recordings import Recording
from speakerid.preparation.sources.text_table import Table, column_key, looks_like_data, naming_errors, read_header
from speakerid.preparation.sources.walk import Remarks

TABLE = "a CSV or TSV file with the columns path, speaker and perhaps session, start, end, duration, channel"
"""Description of a table of recordings, for messages."""


def is_table(path: Path) -> bool:
    """Whether the header of a file has the columns of a table of recordings.

    Raises:
        UserError: the file cannot be read, or is not a table.
    """
    with naming_errors(path):
        return has_required_columns(find_columns(read_header(path)))


def read_table(table: Table, layout: str, root: Path, remarks: Remarks) -> list[Recording]:
    """Read the recordings of a table.

    Args:
        table: a table or manifest.
        layout: `table`, `nemo`, or `speechbrain`, which gives start and stop in samples.
        root: folder that names of recordings are relative to.
        remarks: collects what is not read and what is doubtful.

    Raises:
        UserError: the path or speaker column is missing, or the times seem to be in another unit.
        CorpusError: lists every wrong row.
    """
    columns = _columns(table)
    others = unread_columns(table.header, columns)
    if others:
        read = ", ".join(printable(table.header[index]) for index in sorted(set(columns.values())))
        remarks.note(f"{printable(table.path.name)}: columns not read: {', '.join(others)} (read: {read})")
    if layout == "table" and column_key(speaker := table.header[columns["speaker"]]) in AMBIGUOUS:
        remarks.note(f"{printable(table.path.name)}: column {printable(speaker)} is read as the speaker")
    samples = layout == "speechbrain" and _in_samples(table, columns, remarks)
    channels = _channels(table, columns, remarks)
    _note_units(table, columns, remarks)
    others += [table.header[columns["channel"]]] if channels is None and "channel" in columns else []
    builder = RecordingBuilder(table.path, root, remarks, others)
    builder.problems += table.problems
    comma = table.delimiter != ","
    for where, fields in table.rows:
        row = {meaning: fields[index] for meaning, index in columns.items()}
        try:
            builder.add(_row(where, row, channels, comma, samples))
        except UserError as error:
            builder.problems.append(f"{where}: {error}")
    builder.problems.sort(key=_line)
    return builder.recordings()


def is_speechbrain(header: Sequence[str]) -> bool:
    """Whether these columns are those of a SpeechBrain manifest."""
    return set(map(column_key, header)) >= SPEECHBRAIN


def _columns(table: Table) -> dict[str, int]:
    with naming_errors(table.path):
        columns = find_columns(table.header)
    if has_required_columns(columns):
        return columns
    found = printable(", ".join(table.header)) or "nothing"
    remedy = ""
    if looks_like_data(table.header, EXTENSIONS):
        remedy = "; this looks like data: add a first line such as path,speaker"
    raise UserError(f"{table.path}: first line: found {found}; expected {TABLE}{remedy}")


def _row(where: str, fields: Mapping[str, str], channels: Mapping[str, int] | None, comma: bool, samples: bool) -> Row:
    channel = fields.get("channel") if channels is not None else None
    if channel and channels is not None and channel not in channels:
        raise UserError(f"channel: found {printable(channel)!r}, expected 1, 2, A, B, left or right")
    rate = parse_time("sample rate", fields.get("rate", ""), "samples", comma)
    times: dict[str, Time | None] = {}
    for field in ("start", "end", "duration"):
        for suffix, unit in UNITS.items():
            unit = "samples" if samples and field != "duration" else unit
            times[field] = times.get(field) or parse_time(field, fields.get(field + suffix, ""), unit, comma)
    if samples and times["end"]:
        times["duration"] = None  # this is the duration of the whole file
    return Row(
        where,
        fields["path"],
        fields["speaker"],
        fields.get("session", ""),
        channel=channels[channel] if channel and channels else None,
        rate=rate.value if rate else None,
        **times,
    )


def _in_samples(table: Table, columns: Mapping[str, int], remarks: Remarks) -> bool:
    """Whether start and stop are in samples, as in SpeechBrain; if any has decimals, they are in seconds."""
    if not is_speechbrain(["ID", "duration", *table.header]):  # JSON manifests may lack these two
        return False
    times = [columns[field] for field in ("start", "end")]
    samples = all(re.fullmatch(r"\d*(\.0)?", fields[index]) for _, fields in table.rows for index in times)
    remarks.note(f"{printable(table.path.name)}: start and stop are read as {'samples' if samples else 'seconds'}")
    return samples


def _channels(table: Table, columns: Mapping[str, int], remarks: Remarks) -> dict[str, int] | None:
    if "channel" not in columns:
        return None
    texts = {fields[columns["channel"]] for _, fields in table.rows}
    channels = channel_indices(texts)
    if channels is None:
        some = ", ".join(sorted(map(printable, texts - {""}))[:3])
        remarks.note(
            f"{printable(table.path.name)}: column channel is not read: {some} is not a channel such as 1 or A"
        )
    elif channels:
        first = sorted(field for field, index in channels.items() if index == 0)
        counted = f"{first[0]} is the first of a file's channels" if first else "counted from 1"
        remarks.note(f"{printable(table.path.name)}: channels are read one by one; {counted}")
    return channels


def _note_units(table: Table, columns: Mapping[str, int], remarks: Remarks) -> None:
    """Report which column is used if several give the same time in different units."""
    for field in ("start", "end", "duration"):
        given = [printable(table.header[columns[field + suffix]]) for suffix in UNITS if field + suffix in columns]
        if len(given) > 1:
            remarks.note(f"{printable(table.path.name)}: {given[0]} is used, or {', '.join(given[1:])} if it is empty")


def _line(problem: str) -> int:
    found = re.match(r"(?:line|entry) (\d+)", problem)
    return int(found[1]) if found else 0
