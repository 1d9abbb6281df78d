"""Recordings found on disk: a folder per speaker, inner folders are sessions."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from speakerid.audio.decode import EXTENSIONS
from speakerid.errors import UserError


@dataclass(frozen=True, slots=True)
class Recording:
    """One file of one speaker."""

    path: Path
    speaker: str
    session: str | None
    """The folders between the speaker's and the file; None where there are none."""


def scan(source: Path) -> list[Recording]:
    """Every recording below a folder that holds one folder per speaker, ordered by speaker, session and name.

    Args:
        source: holds `speaker/anything.wav` or `speaker/session/anything.wav`; .flac, .ogg and .mp3 as well.

    Raises:
        UserError: there is no such folder, or nothing like that in it.
    """
    if not source.is_dir():
        raise UserError(f"{source}: no such folder; expected one folder per speaker with recordings inside")
    recordings = sorted(_recordings(source), key=_order)
    if not recordings:
        raise UserError(
            f"{source}: no recordings found; expected {source}/SPEAKER/anything with one of the endings "
            + ", ".join(EXTENSIONS)
        )
    return recordings


def _recordings(source: Path) -> Iterator[Recording]:
    for path in source.rglob("*"):
        folders = path.relative_to(source).parts[:-1]
        if folders and path.suffix.lower() in EXTENSIONS and path.is_file():
            speaker, *session = (_text(folder) for folder in folders)
            yield Recording(path, speaker, "/".join(session) or None)


def _order(recording: Recording) -> tuple[tuple[object, ...], ...]:
    """By speaker, session and name; numbers in them by value, so that take2 comes before take10."""
    names = (recording.speaker, recording.session or "", recording.path.name)
    return (*map(_natural, names), names)  # names once more, for 1 and 01


def _natural(text: str) -> tuple[object, ...]:
    parts = re.split(r"([0-9]+)", text)  # words and numbers take turns, so that equal places always compare
    return tuple(int(part) if place % 2 else part for place, part in enumerate(parts))


def _text(name: str) -> str:
    """A file name as text that can be written anywhere, even where it is no valid UTF-8 or holds a line break."""
    text = os.fsencode(name).decode("utf-8", errors="backslashreplace")
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
