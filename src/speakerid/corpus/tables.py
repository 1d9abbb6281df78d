"""Recordings named in tables: a CSV or TSV of one's own, or those of Common Voice."""

import csv
import math
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from speakerid.audio.decode import EXTENSIONS
from speakerid.corpus.recordings import Recording, printable
from speakerid.corpus.walk import Folder, Remarks
from speakerid.errors import CorpusError, UserError

TABLE = "a CSV or TSV file with the columns path, speaker and perhaps session, start, end"
"""What a table of recordings looks like."""

_COLUMNS = {
    "path": ("path", "file", "filename", "file_name", "filepath", "file_path", "wav", "audio", "audio_path"),
    "speaker": ("speaker", "speaker_id", "speakerid", "speaker_name", "spk", "spk_id", "spkid", "client_id"),
    "session": ("session", "session_id", "sessionid", "occasion", "video", "video_id"),
    "start": ("start", "begin", "start_time", "begin_time", "onset", "start_seconds"),
    "end": ("end", "stop", "end_time", "stop_time", "end_seconds"),
}


def _rows(table: Path, quoting: Literal[0, 3] = csv.QUOTE_MINIMAL) -> Iterator[tuple[int, list[str]]]:
    """Line number and stripped fields of every row that is not empty.

    Raises:
        UserError: the file cannot be read, or is no table.
    """
    delimiters = "\t" if table.suffix.lower() == ".tsv" else ",;\t|"
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline(100_000)
            file.seek(0)
            reader = csv.reader(file, delimiter=max(delimiters, key=header.count), quoting=quoting)
            for row in reader:
                fields = [field.strip() for field in row]
                if any(fields):
                    yield reader.line_num, fields
    except UnicodeDecodeError as error:
        raise UserError(f"{table}: no UTF-8 text; save the table as UTF-8 (in Excel: 'CSV UTF-8')") from error
    except (OSError, csv.Error) as error:
        raise UserError(f"{table}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _header(table: Path) -> list[str]:
    _, header = next(_rows(table), (0, []))
    return header


def _columns(header: Sequence[str]) -> dict[str, int]:
    """Place of each column by its meaning."""
    names = [re.sub(r"[\s-]+", "_", name.lower()) for name in header]
    places: dict[str, int] = {}
    for meaning, synonyms in _COLUMNS.items():
        if found := [name for name in synonyms if name in names]:
            places[meaning] = names.index(found[0])
    return places


def _complete(columns: Mapping[str, int]) -> bool:
    return {"path", "speaker"} <= columns.keys()


def is_table(path: Path) -> bool:
    """Whether the first line of a file names the columns of a table of recordings.

    Raises:
        UserError: the file cannot be read, or is no table.
    """
    return _complete(_columns(_header(path)))


def is_common_voice(path: Path) -> bool:
    """Whether the first line of a file names the column that Common Voice has for the speaker.

    Raises:
        UserError: the file cannot be read, or is no table.
    """
    return "client_id" in _header(path)


def read_table(source: Path) -> list[Recording]:
    """Every row of a table.

    Raises:
        UserError: the file cannot be read, is no table, or has no column for the path or for the speaker.
        CorpusError: every wrong row.
    """
    rows = _rows(source)
    _, header = next(rows, (0, []))
    columns = _columns(header)
    if not _complete(columns):
        found = printable(", ".join(header)) or "nothing"
        raise UserError(f"{source}: first line: found {found}; expected {TABLE}")
    folder = os.path.join(os.path.abspath(source.parent), "")
    recordings: list[Recording] = []
    lines: dict[str, int] = {}
    problems: list[str] = []
    for line, row in rows:
        try:
            if len(row) > len(header):
                raise UserError(f"found {len(row)} fields, expected {len(header)}; quote what holds a delimiter")
            filled = row + [""] * (len(header) - len(row))
            recording = _read_row(folder, {meaning: filled[place] for meaning, place in columns.items()})
            earlier = lines.setdefault(recording.name, line)
            if earlier != line:
                raise UserError(f"{recording.name}: is in line {earlier} already; delete one of the two")
            recordings.append(recording)
        except UserError as error:
            problems.append(f"line {line}: {error}")
    if problems:
        raise CorpusError(source, problems)
    return recordings


def _read_row(folder: str, fields: Mapping[str, str]) -> Recording:
    """One row of a table; `..` in its path is taken off the text, whatever links there are."""
    path, speaker = fields["path"], fields["speaker"]
    if not path or not speaker:
        raise UserError(f"no {'speaker' if path else 'path'}")
    full = os.path.normpath(os.path.join(folder, path))
    ending = os.path.splitext(full)[1]
    if ending.lower() not in EXTENSIONS:
        raise UserError(
            f"{printable(path)}: found the ending {printable(ending) or 'none'}, expected one such as .wav, .flac, .mp3"
        )
    if not os.path.isfile(full):
        hint = "; write / between folders" if "\\" in path else ""
        raise UserError(f"{printable(path)}: no such file, looked for in {printable(folder)}{hint}")
    name = printable(full[len(folder) :] if full.startswith(folder) else os.path.relpath(full, folder))
    start, end = (_seconds(meaning, fields.get(meaning, "")) for meaning in ("start", "end"))
    if end is not None and end <= (start or 0):
        raise UserError(f"end: found {end:g}, expected more than the start, {start or 0:g} seconds")
    if start or end is not None:
        start = start or 0.0
        name += f"#{start!r}".removesuffix(".0") + (f"-{end!r}".removesuffix(".0") if end is not None else "-")
    else:
        start = None  # from 0 on is the whole file
    session = printable(fields.get("session", "")) or None
    return Recording(Path(full), name, sys.intern(printable(speaker)), session and sys.intern(session), start, end)


def _seconds(column: str, text: str) -> float | None:
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise UserError(f"{column}: found {printable(text)!r}, expected seconds such as 12.5")
    return seconds


Language = tuple[Folder, list[Path]]
"""The clips and the tables of a Common Voice language."""


def find_languages(folders: Iterable[Folder]) -> Iterator[Language]:
    """The clips and the tables of every Common Voice language among the folders."""
    by_parts = {folder.parts: folder for folder in folders}
    for parts, folder in by_parts.items():
        validated = [name for name in folder.listings if name == "validated.tsv"]
        splits = [name for name in folder.listings if name in ("train.tsv", "dev.tsv", "test.tsv")]
        if (clips := by_parts.get((*parts, "clips"))) and (tables := validated or splits):
            yield clips, [Path(folder.path, table) for table in tables]


def common_voice(folders: Iterable[Folder], languages: Iterable[Language], remarks: Remarks) -> list[Recording]:
    """Common Voice (Ardila et al. 2020): the client is the speaker, and nothing tells the session.

    Raises:
        UserError: a table cannot be read, or lacks a column.
        CorpusError: every wrong row of a table.
    """
    recordings: list[Recording] = []
    reasons = {clips.parts: f"in no line of {', '.join(table.name for table in tables)}" for clips, tables in languages}
    for clips, tables in languages:
        recordings += _clips(clips, tables, remarks)
    taken = {recording.name for recording in recordings}
    for folder in folders:
        for name in map(folder.name, folder.recordings):
            if name not in taken:
                remarks.passed(name, reasons.get(folder.parts, "not in layout commonvoice"))
    return recordings


def _clips(clips: Folder, tables: Sequence[Path], remarks: Remarks) -> Iterator[Recording]:
    """The clips that the tables of a language name."""
    waiting, known = set(clips.recordings), set(clips.recordings)
    for table in tables:
        rows = _rows(table, csv.QUOTE_NONE)
        _, header = next(rows, (0, []))
        if not {"client_id", "path"} <= set(header):
            raise UserError(f"{table}: expected the columns client_id and path; no Common Voice: say --layout folders")
        path, client = header.index("path"), header.index("client_id")
        problems: list[str] = []
        for line, row in rows:
            if len(row) <= max(path, client) or not row[path] or not row[client]:
                problems.append(f"line {line}: no client_id or path; fetch the table again")
            elif row[path] not in known:
                remarks.passed(printable(row[path]), f"in {table.name}, but not in clips")
            elif row[path] in waiting:  # a clip in two tables counts once
                waiting.remove(row[path])
                yield Recording(
                    Path(clips.path, row[path]), clips.name(row[path]), sys.intern(printable(row[client])), None
                )
        if problems:
            raise CorpusError(table, problems)
