"""Recordings found on disk: a folder per speaker, inner folders are sessions."""

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
    recordings = sorted(_recordings(source), key=lambda recording: recording.path.relative_to(source).parts)
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
            yield Recording(path, folders[0], "/".join(folders[1:]) or None)
