"""`recordings.csv`: the recording of every utterance, in a table that `prepare` can read."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

from speakerid.base.errors import UserError
from speakerid.base.files import atomic_file
from speakerid.corpus import unfinished
from speakerid.corpus.utterances import PARTS, Corpus, Part
from speakerid.preparation.recording_features import Job
from speakerid.preparation.sources.recordings import Recording

NAME = "recordings.csv"
HEADER = ["utterance", "part", "path", "start", "end", "channel", "speaker", "session", "copy"]
WITHOUT_CHANNEL = [column for column in HEADER if column != "channel"]
"""Columns of tables written before channels were supported."""
_ERRORS = "surrogateescape"
"""Error handler for paths that are not valid UTF-8."""


def write(corpus: Corpus, jobs: Mapping[str, Job]) -> None:
    """Write a row for every utterance; an augmented copy has its kind and its original recording.

    Args:
        corpus: corpus to write the table of.
        jobs: job of each feature path.
    """
    path = corpus.root / NAME
    with atomic_file(path) as partial, partial.open("w", encoding="utf-8", errors=_ERRORS, newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        for part in PARTS:
            writer.writerows(_rows(part, corpus.part(part).names, jobs))


def remove(root: Path) -> None:
    """Remove the table of an earlier preparation, if there is one."""
    (root / NAME).unlink(missing_ok=True)


def has_table(root: Path) -> bool:
    """Whether a folder has a table, so that it is a corpus written by `prepare`."""
    try:
        with (root / NAME).open(encoding="utf-8", errors=_ERRORS, newline="") as file:
            return next(csv.reader(file), []) in (HEADER, WITHOUT_CHANNEL)
    except (OSError, csv.Error):
        return False


def read(root: Path) -> dict[str, Recording]:
    """Read the recording of every utterance, by feature path; augmented copies are left out.

    Args:
        root: corpus written by `prepare`.

    Raises:
        UserError: the table is missing or has other columns, or the preparation is unfinished.
    """
    unfinished.refuse(root)
    path = root / NAME
    try:
        with path.open(encoding="utf-8", errors=_ERRORS, newline="") as file:
            header, *rows = csv.reader(file)
        if header in (HEADER, WITHOUT_CHANNEL):
            return dict(_recording(dict(zip(header, row, strict=True))) for row in rows if not row[-1])
        reason = "found other columns"
    except (OSError, ValueError, IndexError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or "no such table"
    raise UserError(f"{path}: {reason}; expected {','.join(HEADER)}, as `prepare` writes it")


def _rows(part: Part, names: Iterable[str], jobs: Mapping[str, Job]) -> Iterable[list[str]]:
    for name in names:
        job = jobs[name]
        recording, kind = job.recording, f"speed {job.speed}" if job.speed else ""
        times = ("" if seconds is None else str(seconds) for seconds in (recording.start, recording.end))
        where = [
            str(recording.path.absolute()),
            *times,
            "" if recording.channel is None else str(recording.channel + 1),
        ]
        yield [name, part, *where, recording.speaker, recording.session or "", kind]


def _recording(row: Mapping[str, str]) -> tuple[str, Recording]:
    start, end = (float(row[column]) if row[column] else None for column in ("start", "end"))
    channel = int(number) - 1 if (number := row.get("channel")) else None
    name, session = row["utterance"], row["session"] or None
    return name, Recording(Path(row["path"]), name, row["speaker"], session, start, end, channel)
