"""Which recording every utterance was computed from: `recordings.csv`, a table that `prepare` reads again."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from speakerid.corpus.recordings import Recording
from speakerid.corpus.records import PARTS, Corpus, Part
from speakerid.corpus.stage import Job
from speakerid.errors import UserError
from speakerid.files import atomic_file

NAME = "recordings.csv"
HEADER = ["utterance", "part", "path", "start", "end", "speaker", "session", "copy"]
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


def read(root: Path) -> dict[str, Recording]:
    """The recordings by their utterances' feature paths; of a copy, which was no recording, there is none.

    Args:
        root: a corpus that `prepare` has written.

    Raises:
        UserError: there is no such table, or it is another one.
    """
    path = root / NAME
    try:
        with path.open(encoding="utf-8", errors=_ERRORS, newline="") as file:
            header, *rows = csv.reader(file)
        if header == HEADER:
            return dict(_recording(row) for row in rows if not row[-1])
        reason = "found other columns"
    except (OSError, ValueError, IndexError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or "no such table"
    raise UserError(f"{path}: {reason}; expected {','.join(HEADER)}, as `prepare` writes it")


def _rows(part: Part, names: Iterable[str], jobs: Mapping[str, Job]) -> Iterable[list[str]]:
    for name in names:
        job = jobs[name]
        recording, kind = job.recording, job.copy.kind if job.copy else ""
        times = ("" if seconds is None else str(seconds) for seconds in (recording.start, recording.end))
        yield [name, part, str(recording.path.absolute()), *times, recording.speaker, recording.session or "", kind]


def _recording(row: Sequence[str]) -> tuple[str, Recording]:
    name, _, path, start, end, speaker, session, _ = row
    times = (float(seconds) if seconds else None for seconds in (start, end))
    return name, Recording(Path(path), name, speaker, session or None, *times)
