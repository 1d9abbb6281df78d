"""A folder of recordings, walked once: what is in it, and what is passed over."""

import os
from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple

from speakerid.audio.decode import EXTENSIONS
from speakerid.corpus.recordings import printable


class Remarks:
    """What is passed over and why, as a count and the first names for each reason; and what is doubtful."""

    def __init__(self) -> None:
        self._counts = Counter[str]()
        self._first = defaultdict[str, list[str]](list)
        self._endings = Counter[str]()
        self._doubts: list[str] = []

    def passed(self, name: str, reason: str) -> None:
        """Passed over for this reason."""
        self._counts[reason] += 1
        if len(self._first[reason]) < 3:
            self._first[reason].append(name)

    def ending(self, ending: str) -> None:
        """Passed over as no recording, a file with this ending."""
        self._endings[ending] += 1

    def doubt(self, line: str) -> None:
        """Taken, but worth a look."""
        self._doubts.append(line)

    def lines(self) -> list[str]:
        """One for each reason, then the doubts."""
        passed: list[str] = []
        for reason, count in self._counts.items():
            names = self._first[reason]
            more = f" and {count - len(names):,} more" if count > len(names) else ""
            passed.append(f"passed over, {reason}: {', '.join(names)}{more}")
        if self._endings:
            common = [f"{count:,} {ending}" for ending, count in self._endings.most_common(5)]
            more = " and others" if len(self._endings) > len(common) else ""
            passed.append(f"passed over, no recordings by their endings: {', '.join(common)}{more}")
        return passed + self._doubts


class Folder(NamedTuple):
    """A folder with recordings or tables in it, or one of the first level."""

    path: str
    parts: tuple[str, ...]
    """Names of the folders from the source down to this one."""
    recordings: list[str]
    tables: list[str]

    def name(self, entry: str) -> str:
        """Printable, relative to the source."""
        return printable("/".join((*self.parts, entry)))


def walk(source: Path, remarks: Remarks) -> list[Folder]:
    """Every folder below the source that holds recordings or tables, or is of the first level; links are followed."""
    folders: list[Folder] = []
    followed = set[tuple[int, int]]()
    waiting: list[tuple[str, ...]] = [()]
    while waiting:
        parts = waiting.pop()
        folder = Folder(os.path.join(source, *parts), parts, [], [])
        try:
            with os.scandir(folder.path) as listing:
                entries = sorted((entry for entry in listing if entry.name[0] != "."), key=lambda entry: entry.name)
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
            elif kind in (".csv", ".tsv"):
                folder.tables.append(entry.name)
            elif kind.startswith("."):
                remarks.ending(printable(kind))
            else:
                remarks.passed(folder.name(entry.name), kind)
        waiting += reversed(inner)
        if folder.recordings or folder.tables or len(parts) == 1:
            folders.append(folder)
    return folders


def _kind(entry: os.DirEntry[str], source: Path, followed: set[tuple[int, int]]) -> str:
    """`folder`, the ending of a file, or why it is neither."""
    try:
        if entry.is_dir():
            return _linked(entry, source, followed) if entry.is_symlink() else "folder"
        if entry.is_file():
            return os.path.splitext(entry.name)[1].lower() or ".(none)"
    except OSError as error:  # a link that leads to itself, or to where nobody may look
        return f"cannot be read ({error.strerror})"
    return "broken link" if entry.is_symlink() else "neither file nor folder"


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
