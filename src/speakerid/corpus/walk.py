"""A folder of recordings, walked once: what is in it, and what is passed over."""

import os
import stat
from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple

from speakerid.audio.decode import EXTENSIONS
from speakerid.corpus.recordings import natural
from speakerid.printing import printable

SYSTEM_FOLDERS = {"__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found"}
"""Folders that operating systems and network drives keep beside a user's own, in lower case."""
LISTINGS = (".csv", ".tsv", ".json", ".jsonl", ".json.gz", ".jsonl.gz", ".rttm")
"""Endings of files that may list recordings."""
KALDI = ("wav.scp", "utt2spk", "spk2utt", "segments", "reco2file_and_channel")
"""Files of a Kaldi data directory that say who speaks where."""


class Remarks:
    """What is passed over and why, as a count and the first names for each reason; and what is doubtful."""

    def __init__(self) -> None:
        self._counts = Counter[str]()
        self._first = defaultdict[str, list[str]](list)
        self._endings = Counter[str]()
        self._notes: list[str] = []
        self._doubts: list[str] = []

    def passed(self, name: str, reason: str) -> None:
        """Passed over for this reason."""
        self._counts[reason] += 1
        if len(self._first[reason]) < 3:
            self._first[reason].append(name)

    def ending(self, ending: str) -> None:
        """Passed over as no recording, a file with this ending."""
        self._endings[ending] += 1

    def note(self, line: str) -> None:
        """How the source was read, where it could be read otherwise."""
        self._notes.append(line)

    def doubt(self, line: str) -> None:
        """Taken, but worth a look."""
        self._doubts.append(line)

    def lines(self) -> list[str]:
        """The notes, one line for each reason, the doubts."""
        passed: list[str] = []
        for reason, count in self._counts.items():
            names = self._first[reason]
            more = f" and {count - len(names):,} more" if count > len(names) else ""
            passed.append(f"passed over, {reason}: {', '.join(names)}{more}")
        if self._endings:
            common = [f"{count:,} {ending}" for ending, count in self._endings.most_common(5)]
            more = " and others" if len(self._endings) > len(common) else ""
            passed.append(f"passed over, no recordings by their endings: {', '.join(common)}{more}")
        return self._notes + passed + self._doubts


class Folder(NamedTuple):
    """A folder with recordings or listings in it, or one of the first level."""

    path: str
    parts: tuple[str, ...]
    """Names of the folders from the source down to this one."""
    recordings: list[str]
    listings: list[str]
    """Tables, manifests, and the files of a Kaldi data directory."""

    def name(self, entry: str) -> str:
        """Printable, relative to the source."""
        return printable("/".join((*self.parts, entry)))


def recordings_below(source: Path, remarks: Remarks | None = None) -> list[Path]:
    """Recordings in a folder and in the folders below it, numbers in their names by value.

    Hidden files and what operating systems leave behind are passed over; so is everything that is not a regular file.

    Args:
        source: a folder.
        remarks: takes what was passed over, if given.
    """
    folders = walk(source, remarks or Remarks())
    found = [Path(folder.path, file) for folder in folders for file in folder.recordings]
    return sorted(found, key=lambda path: (natural(str(path)), str(path)))


def walk(source: Path, remarks: Remarks) -> list[Folder]:
    """Every folder below the source that holds recordings or listings, or is of the first level; links are followed."""
    folders: list[Folder] = []
    followed = set[tuple[int, int]]()
    waiting: list[tuple[str, ...]] = [()]
    while waiting:
        parts = waiting.pop()
        folder = Folder(os.path.join(source, *parts), parts, [], [])
        try:
            with os.scandir(folder.path) as listing:
                entries = sorted((entry for entry in listing if not _hidden(entry.name)), key=lambda entry: entry.name)
        except OSError as error:
            remarks.passed(folder.name("").rstrip("/") or str(source), f"cannot be read ({error.strerror})")
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
            elif kind.startswith("."):
                remarks.ending(printable(kind))
            else:
                remarks.passed(folder.name(entry.name), kind)
        waiting += reversed(inner)
        if folder.recordings or folder.listings or len(parts) == 1:
            folders.append(folder)
    return folders


def what_is(path: Path) -> str:
    """A word for what is no regular file: a folder, a named pipe, a socket, a device, or nothing at all."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return "no such file" if isinstance(error, (FileNotFoundError, NotADirectoryError)) else str(error.strerror)
    except ValueError:  # a NUL in the name
        return "no such file"
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a named pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"


def _hidden(name: str) -> bool:
    return name[0] == "." or name.lower() in SYSTEM_FOLDERS


def _kind(entry: os.DirEntry[str], source: Path, followed: set[tuple[int, int]]) -> str:
    """`folder`, the ending of a file, or why it is neither."""
    try:
        if entry.is_dir():
            return _linked(entry, source, followed) if entry.is_symlink() else "folder"
        if entry.is_file():
            return os.path.splitext(entry.name)[1].lower() or ".(none)"
    except OSError as error:  # a link that leads to itself, or to where nobody may look
        return f"cannot be read ({error.strerror})"
    what = what_is(Path(entry.path))
    return "broken link" if what == "no such file" else f"not a file but {what}"


def _linked(entry: os.DirEntry[str], source: Path, followed: set[tuple[int, int]]) -> str:
    """`folder` for a link to one that does not hold the link itself and that no other link has led to."""
    target = entry.stat()
    above = {*Path(entry.path).absolute().parents, *Path(os.path.realpath(source)).parents}
    if any(os.path.samestat(target, os.stat(folder)) for folder in above):
        return "link to a folder that it lies in"
    if (target.st_dev, target.st_ino) in followed:
        return "link to a folder that another link leads to"
    followed.add((target.st_dev, target.st_ino))
    return "folder"
