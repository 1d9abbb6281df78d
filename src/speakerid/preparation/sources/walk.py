"""Walk a folder once to find its recordings and listings, and collect what is skipped."""

import os
import stat
from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple

from speakerid.audio.decode import EXTENSIONS
from speakerid.base.printing import printable
from speakerid.preparation.sources.recordings import natural_key

SYSTEM_FOLDERS = {"__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found"}
"""Lower-case names of folders that operating systems and network drives create."""
LISTINGS = (".csv", ".tsv", ".json", ".jsonl", ".json.gz", ".jsonl.gz")
"""Endings of files that may list recordings."""
KALDI = ("wav.scp", "utt2spk", "spk2utt", "segments", "reco2file_and_channel")
"""Files of a Kaldi data directory that are read."""


class Remarks:
    """Collects remarks on a source: notes, skipped files with the first names for each reason, and doubts."""

    def __init__(self) -> None:
        self._counts = Counter[str]()
        self._first = defaultdict[str, list[str]](list)
        self._endings = Counter[str]()
        self._notes: list[str] = []
        self._doubts: list[str] = []

    def skipped(self, name: str, reason: str) -> None:
        """Add a skipped file and the reason."""
        self._counts[reason] += 1
        if len(self._first[reason]) < 3:
            self._first[reason].append(name)

    def skipped_ending(self, ending: str) -> None:
        """Add a file that is not a recording by its extension."""
        self._endings[ending] += 1

    def note(self, line: str) -> None:
        """Add a line on how the source was read, where this is not obvious."""
        self._notes.append(line)

    def doubt(self, line: str) -> None:
        """Add a line on something that was accepted but is doubtful."""
        self._doubts.append(line)

    def lines(self) -> list[str]:
        """Format the notes, one line for each reason to skip files, and the doubts."""
        skipped: list[str] = []
        for reason, count in self._counts.items():
            names = self._first[reason]
            more = f" and {count - len(names):,} more" if count > len(names) else ""
            skipped.append(f"skipped, {reason}: {', '.join(names)}{more}")
        if self._endings:
            common = [f"{count:,} {ending}" for ending, count in self._endings.most_common(5)]
            more = " and others" if len(self._endings) > len(common) else ""
            skipped.append(f"skipped, not recordings by their extension: {', '.join(common)}{more}")
        return self._notes + skipped + self._doubts


class Folder(NamedTuple):
    """A folder with recordings, listings or annotations, or any folder at the first level."""

    path: str
    parts: tuple[str, ...]
    """Folder names from the source down to this folder."""
    recordings: list[str]
    listings: list[str]
    """Tables, manifests, and the files of a Kaldi data directory."""
    annotations: list[str]
    """Files with the endings that were asked for."""

    def name(self, entry: str) -> str:
        """Printable path of an entry, relative to the source."""
        return printable("/".join((*self.parts, entry)))


def recordings_below(source: Path, remarks: Remarks | None = None) -> list[Path]:
    """Find the recordings in a folder and its subfolders, in natural order.

    Hidden files, folders of the operating system, and everything that is not a regular file are skipped.

    Args:
        source: a folder.
        remarks: collects what is skipped, if given.
    """
    folders = walk(source, remarks or Remarks())
    found = [Path(folder.path, file) for folder in folders for file in folder.recordings]
    return sorted(found, key=lambda path: (natural_key(str(path)), str(path)))


def walk(source: Path, remarks: Remarks, annotations: tuple[str, ...] = ()) -> list[Folder]:
    """Find the folders with recordings or listings, and all folders at the first level; links are followed.

    Args:
        source: a folder.
        remarks: collects what is skipped.
        annotations: endings of further files to find, in lower case.
    """
    folders: list[Folder] = []
    followed = set[tuple[int, int]]()
    waiting: list[tuple[str, ...]] = [()]
    while waiting:
        parts = waiting.pop()
        folder = Folder(os.path.join(source, *parts), parts, [], [], [])
        try:
            with os.scandir(folder.path) as listing:
                entries = sorted((entry for entry in listing if not _hidden(entry.name)), key=lambda entry: entry.name)
        except OSError as error:
            remarks.skipped(folder.name("").rstrip("/") or str(source), f"cannot be read ({error.strerror})")
            continue
        inner: list[tuple[str, ...]] = []
        for entry in entries:
            kind = _kind(entry, source, followed)
            if kind == "folder":
                inner.append((*parts, entry.name))
            elif kind in EXTENSIONS:
                folder.recordings.append(entry.name)
            elif kind.startswith(".") and (entry.name in KALDI or entry.name.lower().endswith(LISTINGS)):
                folder.listings.append(entry.name)
            elif kind in annotations:
                folder.annotations.append(entry.name)
            elif kind.startswith("."):
                remarks.skipped_ending(printable(kind))
            else:
                remarks.skipped(folder.name(entry.name), kind)
        waiting += reversed(inner)
        if folder.recordings or folder.listings or folder.annotations or len(parts) == 1:
            folders.append(folder)
    return folders


def describe_path(path: Path) -> str:
    """Describe a path that is not a regular file: a folder, a named pipe, a socket, a device, or no such file."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return "no such file" if isinstance(error, (FileNotFoundError, NotADirectoryError)) else str(error.strerror)
    except ValueError:  # a null character in the name
        return "no such file"
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a named pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"


def _hidden(name: str) -> bool:
    return name[0] == "." or name.lower() in SYSTEM_FOLDERS


def _kind(entry: os.DirEntry[str], source: Path, followed: set[tuple[int, int]]) -> str:
    """`folder`, the extension of a file, or the reason to skip the entry."""
    try:
        if entry.is_dir():
            return _linked(entry, source, followed) if entry.is_symlink() else "folder"
        if entry.is_file():
            return os.path.splitext(entry.name)[1].lower() or ".(none)"
    except OSError as error:  # a link to itself, or without permission
        return f"cannot be read ({error.strerror})"
    what = describe_path(Path(entry.path))
    return "broken link" if what == "no such file" else f"not a file but {what}"


def _linked(entry: os.DirEntry[str], source: Path, followed: set[tuple[int, int]]) -> str:
    """`folder` for a link to a folder, unless the folder contains the link or another link led to it before."""
    target = entry.stat()
    above = {*Path(entry.path).absolute().parents, *Path(os.path.realpath(source)).parents}
    if any(os.path.samestat(target, os.stat(folder)) for folder in above):
        return "link to a folder that contains it"
    if (target.st_dev, target.st_ino) in followed:
        return "link to a folder that another link leads to"
    followed.add((target.st_dev, target.st_ino))
    return "folder"
