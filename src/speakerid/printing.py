"""Names, messages and values as text for terminals, tables and pictures."""

import reprlib
import unicodedata
from collections.abc import Sequence

NAMED = 10
"""Names that a list of names spells out."""


def visible(text: str) -> str:
    """Text that a terminal can be given: control characters, line breaks and bytes that are not UTF-8 become escapes.

    Idempotent, so a message may quote another one.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def printable(name: object) -> str:
    """A path or a speaker's name as text that can be written anywhere, a different text for every name.

    As `visible`, and a backslash is doubled.
    """
    return visible(str(name).replace("\\", "\\\\"))


def one_form(name: str) -> str:
    """A name with its accents composed (Unicode's NFC); names from macOS have them apart and look the same."""
    return unicodedata.normalize("NFC", name)


def short(value: object) -> str:
    """A value from a file in one short line."""
    try:
        return " ".join(reprlib.repr(value).split())
    except ValueError:  # Python does not write out numbers of more than 4,300 digits
        return "a huge number"


def listed(names: Sequence[str]) -> str:
    """The first ten names, and how many more there are."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more:,} more" if more > 0 else "")


def counted(count: int, what: str) -> str:
    """A number with its noun, in the plural where need be."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"
