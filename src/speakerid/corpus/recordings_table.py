"""Which recording every utterance was computed from: `recordings.csv`, a table that `prepare` reads again."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

from speakerid.corpus import unfinished
from speakerid.corpus.recording_features import Job
from speakerid.corpus.recordings import Recording
from speakerid.corpus.records import PARTS, Corpus, Part
from speakerid.errors import UserError
from speakerid.files import atomic_file

NAME = "recordings.csv"
HEADER = ["utterance", "part", "path", "start", "end", "channel", "speaker", "session", "copy"]
WITHOUT_CHANNEL = [column for column in HEADER if column != "channel"]
"""The columns of tables written before channels were read."""
_ERRORS = "surrogateescape"
"""A path may be no UTF-8."""


def write(corpus: Corpus, jobs: Mapping[str, Job]) -> None:
    """Write a row for every utterance into the corpus: of a copy with its kind, and the recording it was made of.

    Args:
        corpus: its parts.
        jobs: what each feature path was made of.
    """
    path = corpus.root / NAME
    with atomic_file(path) as partial, partial.open("w", encoding="utf-8", errors=_ERRORS, newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        for part in PARTS:
            writer.writerows(_rows(part, corpus.part(part).names, jobs))


def remove(root: Path) -> None:
    """Remove the table of a former preparation, if there is one."""
    (root / NAME).unlink(missing_ok=True)


def has_table(root: Path) -> bool:
    """Whether a folder is a corpus that `prepare` has written: it holds such a table."""
    try:
        with (root / NAME).open(encoding="utf-8", errors=_ERRORS, newline="") as file:
            return next(csv.reader(file), []) in (HEADER, WITHOUT_CHANNEL)
    except (OSError, csv.Error):
        return False


def read(root: Path) -> dict[str, Recording]:
    """The recordings by their utterances' feature paths; of a copy, which was no recording, there is none.

    Args:
        root: a corpus that `prepare` has written.

    Raises:
        UserError: there is no such table, it is another one, or the preparation is unfinished.
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
