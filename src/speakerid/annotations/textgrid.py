"""Praat's TextGrid, in the long and the short form.

Both are one format: Praat reads texts in quotation marks, flags such as <exists> and free-standing numbers, and ignores
everything else (https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from speakerid.annotations.tiers import Interval, Tier
from speakerid.base.errors import UserError
from speakerid.base.printing import printable, short

_TOKEN = re.compile(r'"(?P<text>(?:[^"]|"")*)"|(?P<flag><\w*>)|![^\r\n]*|(?P<word>[^\s"!<][^\s"]*)|["<]')
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_AS_TEXT = "in Praat, choose Save as text file"


class _Token(NamedTuple):
    line: int
    value: str | float


def read_textgrid(text: str) -> list[Tier]:
    """Read the tiers of intervals; tiers of points are left out.

    Raises:
        UserError: the text is not a TextGrid, or ends early.
    """
    reader = _Reader(text)
    if (kind := reader.text("the type of the file")) != "ooTextFile":
        raise UserError(f"line 1: found {short(kind)}, expected the TextGrid of a text file; {_AS_TEXT}")
    if (kind := reader.text("the class of the object")) != "TextGrid":
        raise UserError(f"line {reader.line}: found an object of class {short(kind)}, expected TextGrid")
    reader.number("the start")
    reader.number("the end")
    if reader.flag() != "<exists>":
        return []
    tiers = [reader.tier(index) for index in range(1, reader.count("the number of tiers") + 1)]
    return [tier for tier in tiers if tier is not None]


class _Reader:
    """Takes the values of a TextGrid one by one."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self.line = 1

    def tier(self, index: int) -> Tier | None:
        """Read a tier; None for one of points."""
        where = f"tier {index}"
        kind = self.text(f"{where}: the class")
        name = self.text(f"{where}: the name")
        where = f"tier {printable(name)}"
        self.number(f"{where}: the start")
        self.number(f"{where}: the end")
        count = self.count(f"{where}: the number of intervals")
        if kind == "TextTier":
            for point in range(1, count + 1):
                self.number(f"{where}, point {point}: the time")
                self.text(f"{where}, point {point}: the text")
            return None
        if kind != "IntervalTier":
            raise UserError(f"line {self.line}: {where}: found class {short(kind)}, expected IntervalTier or TextTier")
        return Tier(name, name, [self._interval(f"{where}, interval {number}") for number in range(1, count + 1)])

    def _interval(self, where: str) -> Interval:
        return Interval(
            self.number(f"{where}: the start"), self.number(f"{where}: the end"), self.text(f"{where}: the text"), where
        )

    def text(self, what: str) -> str:
        value = self._take(what)
        if not isinstance(value, str) or value.startswith("<"):
            raise UserError(f"line {self.line}: {what}: found {short(value)}, expected a text in quotation marks")
        return value[1:]

    def number(self, what: str) -> float:
        value = self._take(what)
        if isinstance(value, str):
            raise UserError(f"line {self.line}: {what}: found {short(value)}, expected a number")
        return value

    def count(self, what: str) -> int:
        value = self.number(what)
        if value < 0 or value != int(value):
            raise UserError(f"line {self.line}: {what}: found {value:g}, expected a whole number")
        return int(value)

    def flag(self) -> str:
        return str(self._take("<exists>"))

    def _take(self, what: str) -> str | float:
        token = next(self._tokens, None)
        if token is None:
            raise UserError(f"line {self.line}: {what}: the file ends here; it is not complete, save it again")
        self.line = token.line
        return token.value


def _tokens(text: str) -> Iterator[_Token]:
    """Flags, free-standing numbers and texts; a text keeps its first quotation mark, to tell it from a flag."""
    line, begin = 1, 0
    for match in _TOKEN.finditer(text):
        line, begin = line + text.count("\n", begin, match.start()), match.start()
        if match["text"] is not None:
            yield _Token(line, '"' + match["text"].replace('""', '"'))
        elif match["flag"]:
            yield _Token(line, match["flag"])
        elif match["word"] and _NUMBER.fullmatch(match["word"]):
            yield _Token(line, float(match["word"]))
