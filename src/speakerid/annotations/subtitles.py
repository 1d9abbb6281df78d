"""Subtitles, SRT and WebVTT, in which cues begin with the speaker: `ANN: hello`, `[Ann] hello`, `<v Ann>hello`."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from speakerid.annotations.turns import Annotation, Label, Turn, lines_of, turn
from speakerid.base.errors import UserError
from speakerid.base.printing import short

_TIME = r"(?:(\d+):)?([0-5]?\d):([0-5]?\d)[.,](\d{1,3})"
_TIMING = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?:\s.*)?")
_OPENING = r"\s*(?:(?:</?[ibuc](?:\.[\w.]+)?>|\{\\\w+\}|[-–—‐>]+)\s*)*"
"""Characters allowed before a name: markup, and the dash or arrow of a new speaker."""
_WORD = r"[^\W_][\w.'’-]*"
_CAPITALIZED = r"(?:(?![a-z])[^\W_][\w.'’-]*)"
_COLON = rf"^{_OPENING}\[?(?P<name>{_WORD}|{_CAPITALIZED}(?: {_CAPITALIZED}){{1,3}})\]?:(?=\s|<|$)"
_STYLES = {
    "voice": re.compile(r"<v(?:\.[^\s>]*)?[ \t]+(?P<name>[^>\n]*[^>\s])\s*>"),
    "bracket": re.compile(rf"^{_OPENING}\[(?P<name>[^\]\n]+)\]:?(?=\s*\S)", re.MULTILINE),
    "colon": re.compile(_COLON, re.MULTILINE),
}
"""Ways to write the speaker of a cue; a file has one of them."""


class Cue(NamedTuple):
    """A cue and its text, without the line of its times."""

    start: float
    end: float
    where: str
    first: int
    """Position of the text in the file."""
    text: str


def read_subtitles(text: str) -> Annotation:
    """Read the turns of subtitles; a cue with several speakers is a turn of each.

    A cue without a speaker is a turn of an unknown one, and has a label without a name where one may be added.

    Raises:
        UserError: the text has no cues, or a cue has unreadable times.
    """
    cues = _cues(text)
    if not cues:
        raise UserError("found no cues, expected times such as 00:00:01,000 --> 00:00:02,500")
    style = _style(cues)
    turns: list[Turn] = []
    labels: list[Label] = []
    for cue in cues:
        names = list(style.finditer(cue.text))
        for name in names:
            first, last = name.span("name")
            labels.append(Label(cue.first + first, cue.first + last, _plain(name["name"]), cue.start, cue.end))
        if not names:
            opening = re.match(_OPENING, cue.text)
            first = cue.first + (opening.end() if opening else 0)
            labels.append(Label(first, first, None, cue.start, cue.end))
        for speaker in dict.fromkeys(_plain(name["name"]) for name in names) or [None]:
            turns += [one] if (one := turn(cue.start, cue.end, speaker, cue.where)) else []
    return Annotation(turns, labels)


def _plain(name: str) -> str:
    return html.unescape(name).strip()


def _style(cues: Sequence[Cue]) -> re.Pattern[str]:
    """The way in which most cues name the speaker; voices before all others."""
    counts = {style: sum(bool(style.search(cue.text)) for cue in cues) for style in _STYLES.values()}
    voice = _STYLES["voice"]
    return voice if counts[voice] else max(counts, key=lambda style: counts[style])


def _cues(text: str) -> list[Cue]:
    return list(_read(text))


def _read(text: str) -> Iterator[Cue]:
    """Cues in order; the text of one ends at an empty line, or before the number of the next one."""
    times: tuple[float, float, str] | None = None
    first, last = 0, 0
    for where, offset, line in lines_of(text):
        if "-->" in line:
            if times:
                yield Cue(*times, first, text[first:last])
            times, first = (*_times(line, where), where), offset + len(line)
            first += len(text[first : first + 2]) - len(text[first : first + 2].lstrip("\r\n"))
            last = first
        elif times and not line.strip():
            yield Cue(*times, first, text[first:last])
            times = None
        elif times:
            last = offset + len(line)
    if times:
        yield Cue(*times, first, text[first:last])


def _times(line: str, where: str) -> tuple[float, float]:
    found = _TIMING.fullmatch(line)
    if not found:
        raise UserError(f"{where}: found {short(line)}, expected times such as 00:00:01,000 --> 00:00:02,500")
    start, end = _seconds(found.groups()[:4]), _seconds(found.groups()[4:])
    return start, end


def _seconds(parts: Sequence[str | None]) -> float:
    hours, minutes, seconds, decimals = (part or "0" for part in parts)
    milliseconds = int(decimals.ljust(3, "0"))
    return (1000 * (3600 * int(hours) + 60 * int(minutes) + int(seconds)) + milliseconds) / 1000
