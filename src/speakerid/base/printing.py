"""Formatting of names, messages and values for terminals, tables and figures."""

import reprlib
import unicodedata
from collections.abc import Sequence

NAMED = 10
"""Names that `listed` spells out."""


def visible(text: str) -> str:
    """Text that is safe to print: control characters, line breaks and bytes that are not UTF-8 become escapes.

    Idempotent, so a message may quote another one.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def printable(name: object) -> str:
    """A path or a speaker's name as safe text, different for every name.

    Like `visible`, with backslashes doubled.
    """
    return visible(str(name).replace("\\", "\\\\"))


def nfc(name: str) -> str:
    """A name in Unicode's NFC (composed accents); names from macOS are decomposed and look the same."""
    return unicodedata.normalize("NFC", name)


def short(value: object) -> str:
    """A value from a file as one short line."""
    try:
        return " ".join(reprlib.repr(value).split())
    except ValueError:  # Python does not write out numbers of more than 4,300 digits
        return "a huge number"


def listed(names: Sequence[str]) -> str:
    """The first ten names, and the number of remaining ones."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more:,} more" if more > 0 else "")


def counted(count: int, what: str) -> str:
    """A number with its noun, in the plural unless the number is 1."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"
