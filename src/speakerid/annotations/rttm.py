"""NIST's RTTM (Rich Transcription Time Marked) and UEM (regions to evaluate); RT-09 evaluation plan, appendix A."""

from __future__ import annotations

import re
from collections.abc import Iterator

from speakerid.annotations.turns import LATEST, Annotation, Label, Turn, lines_of, number, turn
from speakerid.base.errors import UserError
from speakerid.base.printing import short

# Some programs write file ids and speakers with blanks, so fields are found by what the others have to look like.
_LINE = re.compile(
    r"\s*SPEAKER\s+(?P<id>\S.*?)\s+(?P<channel>\d+|[A-Za-z])\s+(?P<start>[-+.\deE]+)\s+(?P<duration>[-+.\deE]+)"
    r"\s+\S+\s+\S+\s+(?P<speaker>\S.*?)(?:\s+(?:<NA>|[-+.\deE]+)){0,2}\s*"
)
OTHER_TYPES = {
    "SEGMENT", "NOSCORE", "NO_RT_METADATA", "LEXEME", "NON-LEX", "NON-SPEECH", "FILLER", "EDIT", "IP", "SU", "CB",
    "A/P", "SPKR-INFO",
}  # fmt: skip
"""Types of lines that are not turns."""
_EXPECTED = "SPEAKER FILE CHANNEL START DURATION <NA> <NA> SPEAKER <NA> <NA>"


def read_rttm(text: str) -> Annotation:
    """Read the turns, of one recording or of several.

    Raises:
        UserError: a line is not in the format.
    """
    turns: list[Turn] = []
    labels: list[Label] = []
    for where, offset, line in _lines(text):
        if line.split(None, 1)[0] in OTHER_TYPES:
            continue
        fields = _LINE.fullmatch(line)
        if not fields:
            raise UserError(f"{where}: found {short(line)}, expected {_EXPECTED}")
        start = number(fields["start"], where, "start")
        duration = number(fields["duration"], where, "duration")
        if duration < 0:
            raise UserError(f"{where}: duration: found {duration:g}, expected 0 seconds or more")
        speaker = None if fields["speaker"] == "<NA>" else fields["speaker"]
        if one := turn(start, round(start + duration, 6), speaker, where, fields["id"], fields["channel"]):
            turns.append(one)
        first, last = fields.span("speaker")
        labels.append(Label(offset + first, offset + last, speaker, start, start + duration, fields["id"]))
    return Annotation(turns, labels)


def read_uem(text: str) -> dict[str, list[tuple[float, float]]]:
    """Read the annotated regions of each recording, in seconds, by file id.

    Raises:
        UserError: a line is not in the format.
    """
    regions: dict[str, list[tuple[float, float]]] = {}
    for where, _, line in _lines(text):
        fields = line.rsplit(None, 3)
        if len(fields) < 4:
            raise UserError(f"{where}: found {short(line)}, expected FILE CHANNEL START END")
        start, end = number(fields[2], where, "start"), number(fields[3], where, "end")
        if one := turn(start, min(end, LATEST), None, where):  # some write a large number for the end of a recording
            regions.setdefault(fields[0].strip(), []).append((one.start, one.end))
    return regions


def _lines(text: str) -> Iterator[tuple[str, int, str]]:
    """Line number for messages, offset in the text and content of every line that is not empty or a comment."""
    for where, offset, line in lines_of(text):
        if line.strip() and not line.lstrip().startswith(";;"):
            yield where, offset, line
