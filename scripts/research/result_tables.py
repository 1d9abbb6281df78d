"""Tables of results, as CSV files and in Markdown.

In a CSV file, a measured quantity `x` has the columns `x`, and if they are known `x sd`, `x low` and `x high`: standard
deviation and interval. In Markdown, it is one cell: `94.9 ± 0.2 (92.7 to 97.0)`.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from speakerid import UserError

RESULTS = Path(__file__).resolve().parent / "results"
DASH = "–"
SPREADS = (" sd", " low", " high")
"""Endings of the columns that belong to another column."""

Row = Mapping[str, str]


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown table."""
    head, *body = (f"| {' | '.join(cells)} |" for cells in (header, *rows))
    return "\n".join([head, "|---" * len(header) + "|", *body])


def cell(value: float, deviation: float | None = None, interval: tuple[float, float] | None = None) -> str:
    """Cell of a measured quantity, with one decimal."""
    return measured(*("" if x is None else f"{x:.1f}" for x in (value, deviation, *(interval or (None, None)))))


def measured(value: str, deviation: str = "", low: str = "", high: str = "") -> str:
    """Cell of a measured quantity from the texts of its numbers; empty ones are left out."""
    if not value:
        return DASH
    grouped = f"{int(value):,}" if value.isdecimal() else value
    return grouped + (f" ± {deviation}" if deviation else "") + (f" ({low} to {high})" if low else "")


def select(name: str, conditions: Mapping[str, str]) -> list[dict[str, str]]:
    """Rows of a CSV file in `RESULTS` whose columns have these values, in the order of the file.

    Raises:
        UserError: the file, a column or a row is missing.
    """
    path = RESULTS / f"{name}.csv"
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    unknown = [column for column in conditions if rows and column not in rows[0]]
    if unknown:
        raise UserError(f"{path}: found no column {unknown[0]}, expected one of {', '.join(rows[0])}")
    found = [row for row in rows if all(row[column] == value for column, value in conditions.items())]
    if not found:
        raise UserError(f"{path}: found no row with {conditions}")
    return found


def columns(rows: Sequence[Row], conditions: Iterable[str] = ()) -> list[str]:
    """Columns of a table: those with a value in some row, without spreads and without those of the conditions."""
    return [
        column
        for column in rows[0]
        if column not in conditions and not column.endswith(SPREADS) and any(row[column] for row in rows)
    ]


def quantity(row: Row, column: str) -> str:
    """Cell of a column of a row with its spreads."""
    return measured(row[column], *(row.get(column + ending) or "" for ending in SPREADS))
