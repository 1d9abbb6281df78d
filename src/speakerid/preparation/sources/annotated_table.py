"""Tables with a recording and its annotation in each row, and NeMo's manifests for diarization."""

from __future__ import annotations

import os
from pathlib import Path

from speakerid.annotations.formats import FORMATS, format_of, read_annotation
from speakerid.base.errors import CorpusError, UserError
from speakerid.base.printing import nfc, printable
from speakerid.preparation.sources.annotated import Annotated
from speakerid.preparation.sources.columns import find_columns
from speakerid.preparation.sources.listed_recordings import RecordingBuilder
from speakerid.preparation.sources.text_table import Table, naming_errors
from speakerid.preparation.sources.walk import Remarks

ENDINGS = tuple(FORMATS.values())
UNNAMED = {"", "infer"}
"""Speakers of rows whose annotation names the speakers; NeMo writes `infer`."""


def is_annotated(table: Table) -> bool:
    """Whether the rows have an annotation and no speaker."""
    with naming_errors(table.path):
        columns = find_columns(table.header)
    if "annotation" not in columns:
        return False
    return "speaker" not in columns or all(row[columns["speaker"]] in UNNAMED for _, row in table.rows)


def annotated_in_table(table: Table, root: Path, remarks: Remarks) -> list[Annotated]:
    """Recordings and annotations of a table; paths are looked up as those of every table.

    Raises:
        CorpusError: lists every row without a recording or an annotation.
    """
    columns = find_columns(table.header)
    builder = RecordingBuilder(table.path, root, remarks)
    found: list[Annotated] = []
    for where, row in table.rows:
        fields = {meaning: row[index] for meaning, index in columns.items()}
        try:
            recording = Path(builder.find(fields["path"]))
            annotation = Path(builder.find(fields["annotation"], ENDINGS))
        except UserError as error:
            builder.problems.append(f"{where}: {error}")
            continue
        inside = os.path.splitext(os.path.relpath(recording, os.path.abspath(root)))[0]
        session = fields.get("session") or nfc(printable(inside.replace(os.sep, "/")))
        found.append(Annotated(recording, annotation, session, _ids(recording, annotation)))
    if builder.problems or table.problems:
        raise CorpusError(table.path, [*builder.problems, *table.problems])
    return found


def _ids(recording: Path, annotation: Path) -> tuple[str, ...]:
    """File ids of a recording in an RTTM file; none if it has only one, whatever that is called."""
    if format_of(annotation) != "rttm":
        return ()
    ids = {turn.recording for turn in read_annotation(annotation).turns}
    names = (recording.stem, "_".join(recording.stem.split()), recording.stem.partition(".")[0])
    return names if len(ids) > 1 else ()
