"""Find the recording of every annotation: next to it, by its name, or by the rows of a table."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from speakerid.annotations.formats import FORMATS, is_annotation, read_annotation
from speakerid.audio.decode import EXTENSIONS
from speakerid.base.errors import UserError
from speakerid.base.printing import nfc, printable
from speakerid.preparation.sources.annotated import Annotated, media_of
from speakerid.preparation.sources.walk import Folder, Remarks

LAYOUT = "annotated"
"""Layout of annotated recordings; `annotated:srt` reads only the annotations of one format."""
ENDINGS = (*FORMATS.values(), ".uem")
UNMISTAKABLE = (".rttm", ".uem", ".textgrid", ".eaf")
"""Endings that only annotations have."""
_NO_RECORDING = "no recording of this name"


def folder_of(annotation: Path) -> Folder:
    """The folder of an annotation, with its recordings and this annotation alone.

    Raises:
        UserError: the folder cannot be read.
    """
    try:
        names = sorted(os.listdir(annotation.parent))
    except OSError as error:
        raise UserError(f"{annotation.parent}: cannot be read: {error.strerror}") from error
    recordings = [name for name in names if name.lower().endswith(EXTENSIONS) and name[0] != "."]
    return Folder(str(annotation.parent), (), recordings, [], [annotation.name])


def looks_annotated(folders: Sequence[Folder]) -> bool:
    """Whether one folder has all recordings, most of which have an annotation; then it has no folders of speakers."""
    filled = [folder for folder in folders if folder.recordings]
    if len(filled) != 1 or any("wav.scp" in folder.listings for folder in folders):
        return False
    stems = {os.path.splitext(name)[0] for name in filled[0].recordings}
    annotations = list(_annotations(folders))
    if any(kind == "rttm" for kind, _, _ in annotations):
        return True
    named = {stem for _, _, name in annotations for stem in _stems(name)}
    return len(stems & named) >= len(stems) / 2


def skip_annotations(folders: Sequence[Folder], remarks: Remarks) -> None:
    """Report annotations that are not read, and how to read them."""
    for folder in folders:
        for name in folder.annotations:
            ending = os.path.splitext(name)[1].lower()
            if ending in UNMISTAKABLE:
                remarks.skipped(folder.name(name), f"an annotation; to use such files, add --layout {LAYOUT}")
            else:
                remarks.skipped_ending(ending)


def find_annotated(folders: Sequence[Folder], chosen: str, remarks: Remarks) -> list[Annotated]:
    """Find pairs of a recording and its annotation in folders.

    Args:
        folders: folders of a source.
        chosen: format to read, one of `FORMATS`, or empty for all.
        remarks: collects what is skipped.

    Raises:
        UserError: an RTTM file cannot be read, or several recordings have the name of an annotation.
    """
    recordings = _Recordings(folders)
    found: dict[Path, Annotated] = {}
    for kind, folder, name in _annotations(folders, chosen):
        pairs = list(_pairs(kind, folder, name, recordings, remarks))
        if not pairs:
            remarks.skipped(folder.name(name), _NO_RECORDING)
        for one in pairs:
            if found.setdefault(one.recording, one) is not one:
                other = printable(found[one.recording].annotation.name)
                remarks.skipped(
                    folder.name(name),
                    f"{other} is read instead; to choose, add the format, as in --layout {LAYOUT}:srt",
                )
    for path, name in recordings.names.items():
        if path not in found:
            remarks.skipped(name, "no annotation of this name")
    return list(found.values())


def _annotations(folders: Sequence[Folder], chosen: str = "") -> Iterator[tuple[str, Folder, str]]:
    """Format, folder and name of the annotations in folders, the preferred formats first."""
    for kind, ending in FORMATS.items():
        for folder in folders if chosen in ("", kind) else ():
            for name in (*folder.annotations, *folder.listings):
                if name.lower().endswith(ending) and is_annotation(Path(folder.path, name)):
                    yield kind, folder, name


def _pairs(kind: str, folder: Folder, name: str, recordings: _Recordings, remarks: Remarks) -> Iterator[Annotated]:
    """The recordings of an annotation."""
    annotation = Path(folder.path, name)
    if kind == "rttm":
        ids = list(dict.fromkeys(turn.recording for turn in read_annotation(annotation).turns))
        by_id = {one: recordings.find(folder, [one], annotation) for one in ids}
        if any(by_id.values()):
            for one, recording in by_id.items():
                if recording:
                    yield Annotated(recording, annotation, recordings.session(recording), (one,))
                else:
                    remarks.skipped(f"{printable(one)} in {folder.name(name)}", _NO_RECORDING)
            return
        if len(ids) > 1:
            return
    stems = _stems(name)
    if kind == "elan":
        stems += [os.path.splitext(media.name)[0] for media in media_of(annotation)]
    if recording := recordings.find(folder, stems, annotation):
        yield Annotated(recording, annotation, recordings.session(recording))


def _stems(name: str) -> list[str]:
    """Names that the recording of an annotation may have: `a.en` and `a` for `a.en.srt`."""
    stem = os.path.splitext(name)[0]
    parts = stem.split(".")
    return [".".join(parts[:count]) for count in range(len(parts), 0, -1)]


class _Recordings:
    """The recordings in folders, by folder and name, and by name alone."""

    def __init__(self, folders: Sequence[Folder]) -> None:
        self.names: dict[Path, str] = {}
        """Printable name of each."""
        self._placed = defaultdict[tuple[str, str], list[Path]](list)
        self._by_stem = defaultdict[str, list[Path]](list)
        for folder in folders:
            for name in folder.recordings:
                path = Path(folder.path, name)
                self.names[path] = folder.name(name)
                stem = os.path.splitext(name)[0]
                # File ids of RTTM have underscores for blanks.
                for key in dict.fromkeys((stem, "_".join(stem.split()), stem.partition(".")[0])):
                    self._placed[folder.path, key].append(path)
                    self._by_stem[key].append(path)

    def session(self, path: Path) -> str:
        """Path of a recording without its ending, which is the name of its session."""
        return nfc(os.path.splitext(self.names[path])[0])

    def find(self, folder: Folder, stems: Sequence[str], annotation: Path) -> Path | None:
        """The recording of one of these names, in the folder or else anywhere.

        Raises:
            UserError: there are several.
        """
        for stem in stems:
            for paths in (self._placed.get((folder.path, stem), ()), self._by_stem.get(stem, ())):
                exact = [path for path in paths if path.stem == stem] or paths
                if len(exact) > 1:
                    names = " and ".join(self.names[path] for path in exact[:2])
                    raise UserError(
                        f"{annotation}: found the recordings {names}, expected one called {printable(stem)}; say which "
                        "in a table with the columns path and annotation"
                    )
                if exact:
                    return exact[0]
        return None
