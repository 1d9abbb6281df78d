"""Common Voice: clips, and the tables with their speakers."""

import csv
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from speakerid.base.errors import CorpusError, UserError
from speakerid.base.printing import printable
from speakerid.preparation.sources.recordings import Recording
from speakerid.preparation.sources.text_table import Dialect, naming_errors, read_header
from speakerid.preparation.sources.walk import Folder, Remarks


def is_common_voice(path: Path) -> bool:
    """Whether a table has Common Voice's speaker column, client_id.

    Raises:
        UserError: the file cannot be read, or is not a table.
    """
    return "client_id" in read_header(path)


Language = tuple[Folder, list[Path]]
"""The clips and the tables of a Common Voice language."""


def find_languages(folders: Iterable[Folder]) -> Iterator[Language]:
    """Find the clips and the tables of every Common Voice language among the folders."""
    by_parts = {folder.parts: folder for folder in folders}
    for parts, folder in by_parts.items():
        validated = [name for name in folder.listings if name == "validated.tsv"]
        splits = [name for name in folder.listings if name in ("train.tsv", "dev.tsv", "test.tsv")]
        if (clips := by_parts.get((*parts, "clips"))) and (tables := validated or splits):
            yield clips, [Path(folder.path, table) for table in tables]


def common_voice(folders: Iterable[Folder], languages: Iterable[Language], remarks: Remarks) -> list[Recording]:
    """Recordings of Common Voice (Ardila et al. 2020): the client is the speaker; sessions are unknown.

    Raises:
        UserError: a table cannot be read, or lacks a column.
        CorpusError: lists every wrong row of a table.
    """
    recordings: list[Recording] = []
    reasons = {clips.parts: f"in no line of {', '.join(table.name for table in tables)}" for clips, tables in languages}
    for clips, tables in languages:
        recordings += _clips(clips, tables, remarks)
    taken = {recording.name for recording in recordings}
    for folder in folders:
        for name in map(folder.name, folder.recordings):
            if name not in taken:
                remarks.skipped(name, reasons.get(folder.parts, "not in layout commonvoice"))
    return recordings


def _clips(clips: Folder, tables: Sequence[Path], remarks: Remarks) -> Iterator[Recording]:
    """Clips that are listed in the tables of a language."""
    waiting, known = set(clips.recordings), set(clips.recordings)
    for table in tables:
        rows = _rows(table)
        _, header = next(rows, (0, []))
        if not {"client_id", "path"} <= set(header):
            raise UserError(f"{table}: expected the columns client_id and path; otherwise use --layout folders")
        path, client = header.index("path"), header.index("client_id")
        problems: list[str] = []
        for line, row in rows:
            if len(row) <= max(path, client) or not row[path] or not row[client]:
                problems.append(f"line {line}: no client_id or path; download the table again")
            elif row[path] not in known:
                remarks.skipped(printable(row[path]), f"in {table.name}, but not in clips")
            elif row[path] in waiting:  # a clip in two tables counts once
                waiting.remove(row[path])
                yield Recording(
                    Path(clips.path, row[path]), clips.name(row[path]), sys.intern(printable(row[client])), None
                )
        if problems:
            raise CorpusError(table, problems)


def _rows(table: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and fields of every row. Quoting is off because sentences contain unpaired quotation marks."""
    with naming_errors(table, "download the table again"):
        yield from Dialect("utf-8-sig", 0, "\t", csv.QUOTE_NONE).rows(table)
