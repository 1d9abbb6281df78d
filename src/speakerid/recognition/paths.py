"""Recordings that a command line names."""

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from speakerid.corpus.walk import Remarks, recordings_below
from speakerid.errors import UserError


def find_recordings(names: Sequence[str], remarks: Remarks | None = None) -> list[Path]:
    """Files as they are named, folders with everything below them, patterns with what they match; each file once.

    Folders are walked as `prepare` walks them: hidden files and what systems leave behind are passed over.

    Args:
        names: of files and folders, and patterns.
        remarks: takes what was passed over in folders, if given.

    Raises:
        UserError: nothing is there, or a folder or pattern holds no recordings.
    """
    found: dict[str, Path] = {}
    for name in names:
        if os.path.isdir(name):
            some = recordings_below(Path(name), remarks)
        elif os.path.exists(name):
            some = [Path(name)]
        else:
            some = sorted(Path(match) for match in glob.glob(name, recursive=True) if os.path.isfile(match))
        if not some:
            raise UserError(f"{name}: found no recordings there; expected files like .wav, .flac, .mp3, .ogg or .m4a")
        for path in some:
            found.setdefault(os.path.abspath(path), path)
    return list(found.values())
