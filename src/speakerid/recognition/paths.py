"""Find the recordings named on a command line."""

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from speakerid.base.errors import UserError
from speakerid.preparation.sources.walk import Remarks, recordings_below


def find_recordings(names: Sequence[str], remarks: Remarks | None = None) -> list[Path]:
    """Find files: as named, everything below folders, and matches of patterns; each file once.

    Folders are searched as by `prepare`: hidden files and files of operating systems are skipped.

    Args:
        names: files, folders and patterns.
        remarks: collects the files skipped in folders, if given.

    Raises:
        UserError: a path does not exist, or a folder or pattern has no recordings.
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
