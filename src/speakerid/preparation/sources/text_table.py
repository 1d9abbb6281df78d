"""Read text tables in the variants that people and programs save: encoding, delimiter, quoting and columns."""

import csv
import itertools
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TextIO

from speakerid.base.errors import CorpusError, UserError
from speakerid.base.files import check_regular
from speakerid.base.printing import printable

DELIMITERS = "\t,;|"
"""Delimiters to detect; a header without any of them is split at spaces."""
MAX_LINE = 100_000
"""Maximum number of characters to read as one line."""
_AS_UTF_8 = "save the table as UTF-8 (in Excel: 'CSV UTF-8')"


@dataclass(frozen=True)
class Table:
    """A table in memory.

    Attributes:
        path: file of the table.
        header: column names as written.
        rows: position for messages, and one field per column, of each row.
        problems: one line for each row with too many fields.
        delimiter: delimiter between fields; empty if the file is not delimited text.
    """

    path: Path
    header: list[str]
    rows: list[tuple[str, list[str]]]
    problems: list[str]
    delimiter: str = ""


@dataclass(frozen=True)
class Dialect:
    """Format of a table: encoding, lines before the header, delimiter, quoting."""

    encoding: str
    skipped: int
    delimiter: str
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL

    def rows(self, path: Path) -> Iterator[tuple[int, list[str]]]:
        """Line number and stripped fields of each row that is not empty."""
        with path.open(encoding=self.encoding, newline="") as file:
            for _ in range(self.skipped):
                file.readline()
            reader = csv.reader(
                file, delimiter=self.delimiter, quoting=self.quoting, strict=True, skipinitialspace=True
            )
            try:
                for row in reader:
                    if any(fields := [field.strip() for field in row]):
                        yield self.skipped + reader.line_num, fields
            except csv.Error as error:
                raise _Unreadable(f"line {self.skipped + reader.line_num}: cannot be read: {error}") from error


class _Unreadable(UserError):
    pass


@contextmanager
def naming_errors(path: Path, remedy: str = "save it as UTF-8") -> Iterator[None]:
    """Turn errors of reading a file into UserErrors that name it.

    Args:
        path: the file.
        remedy: what to do if it is not UTF-8 text.
    """
    try:
        yield
    except UnicodeError as error:
        raise UserError(f"{path}: not UTF-8 text; {remedy}") from error
    except (OSError, EOFError, zlib.error, csv.Error) as error:
        raise UserError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    except UserError as error:
        if isinstance(error, CorpusError) or str(error).startswith(str(path)):
            raise
        raise UserError(f"{path}: {printable(str(error))}") from error


def read_text_table(path: Path) -> Table:
    """Read a table.

    Raises:
        UserError: the file cannot be read, is not text, or has unbalanced quotation marks.
    """
    with naming_errors(path, _AS_UTF_8):
        dialect = _dialect(path)
        try:
            return _table(path, dialect)
        except _Unreadable as error:
            if "field larger" in str(error):
                raise
            # Many programs write tables without quoting, in which quotation marks are ordinary characters.
            unquoted = _table(path, Dialect(dialect.encoding, dialect.skipped, dialect.delimiter, csv.QUOTE_NONE))
            if unquoted.problems:
                raise UserError(f"{error}; double the quotation marks inside of quoted fields") from error
            return unquoted


def read_header(path: Path) -> list[str]:
    """Read the column names in the first line.

    Raises:
        UserError: the file cannot be read, or is not text.
    """
    with naming_errors(path, _AS_UTF_8):
        _, header = next(_dialect(path).rows(path), (0, []))
        return _clean(header)


def column_key(name: str) -> str:
    """Normalize a column name to lower snake case: `Start Time`, `startTime` and `start-time` become `start_time`."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[\W_]+", "_", name).strip("_").lower()


def looks_like_data(header: Iterable[str], endings: Sequence[str]) -> bool:
    """Whether a first line contains the path of a recording, so that the header is missing."""
    return any(field.lower().endswith(tuple(endings)) for field in header)


def _table(path: Path, dialect: Dialect) -> Table:
    lines = dialect.rows(path)
    _, header = next(lines, (0, []))
    rows: list[tuple[str, list[str]]] = []
    problems: list[str] = []
    for line, row in lines:
        while len(row) > len(header) and not row[-1]:
            row.pop()
        if len(row) > len(header):
            found = f"found {len(row)} fields, expected {len(header)}"
            problems.append(f"line {line}: {found}; quote fields that contain a delimiter")
        rows.append((f"line {line}", [*row, *[""] * (len(header) - len(row))][: len(header)]))
    return Table(path, _clean(header), rows, problems, dialect.delimiter)


def _clean(header: Sequence[str]) -> list[str]:
    return [header[0].removeprefix("#").strip(), *header[1:]] if header else []


def _dialect(path: Path) -> Dialect:
    check_regular(path)
    with path.open("rb") as file:
        start = file.read(4)
    encoding = "utf-16" if start[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    if encoding == "utf-8-sig" and start[:2].count(0) == 1:  # UTF-16 of Latin letters without a byte order mark
        encoding = "utf-16-be" if start[0] == 0 else "utf-16-le"
    with path.open(encoding=encoding, newline="") as file:
        first = _first_line(file)
        if separator := re.fullmatch(r'"?sep=(.)"?\s*', first):  # written by and for Excel
            return Dialect(encoding, 1, separator[1])
    unquoted = re.sub(r'"[^"]*"', "", first)
    delimiter = max(DELIMITERS, key=unquoted.count)
    if path.suffix.lower() == ".tsv" and "\t" in first:
        delimiter = "\t"
    if not unquoted.count(delimiter):
        delimiter = " " if " " in unquoted.strip() else ","
    return Dialect(encoding, 0, delimiter)


def _first_line(file: TextIO) -> str:
    lines = iter(lambda: file.readline(MAX_LINE), "")
    return next(itertools.dropwhile(lambda line: not line.strip(), lines), "")
