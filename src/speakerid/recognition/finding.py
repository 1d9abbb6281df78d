"""Recordings that a command line names."""

import glob
from collections.abc import Sequence
from pathlib import Path

from speakerid.audio.decode import EXTENSIONS
from speakerid.errors import UserError


def find_recordings(names: Sequence[str]) -> list[Path]:
    """Files as they are named, folders with everything below them, patterns with what they match; each file once.

    Raises:
        UserError: nothing is there, or a folder or pattern holds no recordings.
    """
    found: dict[Path, None] = {}
    for name in names:
        path = Path(name)
        if path.is_dir():
            some = sorted(p for p in path.rglob("*") if p.suffix.lower() in EXTENSIONS and p.is_file())
        elif path.exists():
            some = [path]
        else:
            some = sorted(Path(match) for match in glob.glob(name, recursive=True) if Path(match).is_file())
        if not some:
            raise UserError(f"{name}: found no recordings there; expected files like .wav, .flac, .mp3, .ogg or .m4a")
        found |= dict.fromkeys(some)
    return list(found)
