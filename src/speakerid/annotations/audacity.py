"""Audacity's label tracks: START<TAB>END<TAB>LABEL, and perhaps a second line with the frequencies of the selection."""

from __future__ import annotations

import re

from speakerid.annotations.turns import Turn, lines_of, turn
from speakerid.base.errors import UserError
from speakerid.base.printing import short

_LINE = re.compile(r"(\d+(?:[.,]\d*)?)\t(\d+(?:[.,]\d*)?)(?:\t(.*))?")
_FREQUENCIES = re.compile(r"\\\t\S+\t\S+\s*")


def is_label_track(line: str) -> bool:
    """Whether a line is the first of a label track."""
    return _LINE.fullmatch(line.rstrip("\r\n")) is not None


def read_audacity(text: str) -> list[Turn]:
    """Read the labels, which are the speakers' names; marks without a length are left out.

    Raises:
        UserError: a line is not a label.
    """
    turns: list[Turn] = []
    for where, _, line in lines_of(text):
        if not line.strip() or _FREQUENCIES.fullmatch(line):
            continue
        fields = _LINE.fullmatch(line)
        if not fields:
            raise UserError(f"{where}: found {short(line)}, expected START<TAB>END<TAB>SPEAKER in seconds")
        start, end = (float(value.replace(",", ".")) for value in fields.group(1, 2))
        turns += [one] if (one := turn(start, end, fields[3], where)) else []
    return turns
