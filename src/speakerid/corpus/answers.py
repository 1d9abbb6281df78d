"""Speakers of the test utterances, in the HW4 submission format plus a session column if sessions are known."""

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from speakerid.base.errors import UserError
from speakerid.base.files import check_regular
from speakerid.corpus.utterances import Utterance

NAME = "answers.csv"
HEADER = ["Id", "Category", "Session"]


def write(
    path: Path, utterances: Sequence[Utterance], speakers: Sequence[str], sessions: Sequence[str | None] | None = None
) -> None:
    """Write one row per test utterance in the HW4 submission format, `Id,Category`; with `sessions`, also `Session`."""
    header, columns = HEADER[:2], [[utterance.feature_path for utterance in utterances], speakers]
    if sessions is not None:
        header, columns = HEADER, [*columns, sessions]
    with path.open("w", newline="", encoding="utf-8") as file:
        plain, quoted = (
            csv.writer(file, lineterminator="\n", quoting=how) for how in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL)
        )
        plain.writerow(header)
        for row in zip(*columns, strict=True):
            # The csv module does not quote a carriage return, but its reader ends the row there.
            (quoted if any("\r" in (field or "") for field in row) else plain).writerow(row)


def read(path: Path, test: Sequence[Utterance]) -> Sequence[Utterance]:
    """Add speakers, and sessions if given, to the test utterances; return them unchanged if the file does not exist.

    Raises:
        UserError: the file cannot be read or lists other utterances.
    """
    if not path.exists():
        return test
    try:
        check_regular(path)
        with path.open(newline="", encoding="utf-8-sig") as file:
            header, *rows = csv.reader(file)
        if header in (HEADER, HEADER[:2]) and [row[0] for row in rows] == [u.feature_path for u in test]:
            entries = [dict(zip(header, row, strict=True)) for row in rows]
            return [
                replace(utterance, speaker=row["Category"], session=row.get("Session") or None)
                for utterance, row in zip(test, entries, strict=True)
            ]
    except (OSError, ValueError, IndexError, csv.Error, UserError):
        pass  # reported below, like a readable file with the wrong content
    raise UserError(
        f"{NAME}: expected the header Id,Category or {','.join(HEADER)} and one row per utterance of testdata.json, "
        "in its order"
    )
