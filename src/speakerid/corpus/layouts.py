"""Which layout a source is in, and who speaks in which file by the rules of that layout."""

import os
import re
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from speakerid.audio.decode import EXTENSIONS
from speakerid.corpus.recordings import Recording, Scan, in_order, printable
from speakerid.corpus.tables import TABLE, common_voice, find_languages, is_common_voice, is_table, read_table
from speakerid.corpus.walk import Folder, Remarks, walk
from speakerid.errors import UserError

LAYOUTS = {
    "hw4": "the course's HW4 layout with metadata.json",
    "table": TABLE,
    "commonvoice": "validated.tsv, or train.tsv, dev.tsv and test.tsv, beside clips/NAME.mp3",
    "librispeech": "SPEAKER/CHAPTER/SPEAKER-CHAPTER-0000.flac at any depth",
    "vctk": "p225/p225_001_mic1.flac at any depth",
    "voxceleb": "id10270/VIDEO/00001.wav at any depth",
    "cmuarctic": "cmu_us_NAME_arctic/wav/arctic_a0001.wav at any depth",
    "folders": "SPEAKER/anything.wav or SPEAKER/SESSION/anything.wav",
}
"""Every layout and what it looks like, in the order in which they are tried."""

STRAYS = 0.1
"""Up to this share of the recordings may lie outside the layout that the others have."""


def scan(source: Path, layout: str = "auto") -> Scan:
    """Every recording of a folder or a table.

    Links are followed, and what is hidden (`.name`) is passed over without a remark.

    Args:
        source: a folder in one of `LAYOUTS`, or a table; the paths in a table are relative to it, or absolute.
        layout: one of `LAYOUTS`; `auto` goes by their marks, and takes `folders` where there are none.

    Returns:
        The recordings; none for `hw4`, which holds features already.

    Raises:
        UserError: nothing there fits the layout, or several layouts are mixed.
        CorpusError: every wrong row of a table.
    """
    if layout not in ("auto", *LAYOUTS):
        raise UserError(f"layout {layout!r}: unknown; expected auto, {', '.join(LAYOUTS)}")
    remarks = Remarks()
    if os.path.isfile(source):  # unlike Path.is_file without an exception where one may not look
        layout, recordings = _read_file(source, layout, remarks)
    elif os.path.isdir(source):
        layout, recordings = _read_folder(source, layout, remarks)
    else:
        raise UserError(f"{source}: no such folder or table; expected {LAYOUTS['folders']}, or {LAYOUTS['table']}")
    if not recordings and layout != "hw4":
        expected = f"{source}: no recordings in layout {layout}; expected {LAYOUTS[layout]}, ending in "
        raise UserError("; ".join([expected + " ".join(EXTENSIONS), *remarks.lines()]))
    _doubt_names(recordings, remarks)
    return Scan(layout, in_order(recordings), remarks.lines())


def _read_file(source: Path, layout: str, remarks: Remarks) -> tuple[str, list[Recording]]:
    """The layout and what is in it."""
    if source.suffix.lower() not in (".csv", ".tsv", ".txt") or layout not in ("auto", "table", "commonvoice"):
        expected = LAYOUTS["table" if layout == "auto" else layout]
        raise UserError(f"{source}: found a file; expected {expected}, or a folder; unpack an archive first")
    clips = source.parent / "clips"
    if layout == "auto" and os.path.isdir(clips):
        layout = "commonvoice" if is_common_voice(source) else "table"
    if layout == "commonvoice":
        listing = sorted(os.listdir(clips)) if os.access(clips, os.R_OK) else []
        folder = Folder(str(clips), ("clips",), listing, [])
        return layout, common_voice([folder], [(folder, [source])], remarks)
    return "table", read_table(source)


def _read_folder(source: Path, layout: str, remarks: Remarks) -> tuple[str, list[Recording]]:
    """The layout and what is in it."""
    if layout in ("auto", "hw4") and os.path.isfile(source / "metadata.json"):
        return "hw4", []
    if layout in ("table", "hw4"):
        raise UserError(f"{source}: not in layout {layout}: expected {LAYOUTS[layout]}, found a folder without that")
    folders = walk(source, remarks)
    languages = list(find_languages(folders))
    if layout == "commonvoice" or (layout == "auto" and languages):
        return "commonvoice", common_voice(folders, languages, remarks)
    if layout == "auto":
        layout = _recognise(source, folders)
    if layout == "folders":
        _doubt_folders(source, folders, remarks)
    return layout, _place(folders, layout, remarks)


class _Place(NamedTuple):
    speaker: str
    session: str | None = None
    utterance: str | None = None
    """Files of a speaker and session with the same utterance hold the same speech, and one of them is taken."""
    rank: int = 0
    """The lowest is taken."""


def _librispeech(folders: tuple[str, ...], file: str) -> _Place | None:
    """LibriSpeech (Panayotov et al. 2015); LibriTTS has `_` for `-`."""
    speaker, chapter = folders[-2:] if len(folders) > 1 else ("", "")
    if not speaker.isdecimal() or not file.startswith((f"{speaker}-{chapter}-", f"{speaker}_{chapter}_")):
        return None
    return _Place(speaker, chapter, os.path.splitext(file)[0])


def _vctk(folders: tuple[str, ...], file: str) -> _Place | None:
    """VCTK (Yamagishi et al. 2019): since 0.92 every sentence is there from two microphones."""
    fits = re.match(r"([ps][0-9]+)_([0-9]+)(?:_mic([0-9]))?\.", file)
    if not fits or folders[-1:] != (fits[1],):
        return None
    return _Place(folders[-1], None, fits[2], int(fits[3] or 0))


def _voxceleb(folders: tuple[str, ...], file: str) -> _Place | None:
    """VoxCeleb1 and 2 (Nagrani et al. 2017, Chung et al. 2018): the video is the session."""
    stem, ending = os.path.splitext(file)
    if len(folders) < 2 or not re.fullmatch("id[0-9]{5}", folders[-2]) or not re.fullmatch("[0-9]{5}", stem):
        return None
    return _Place(folders[-2], folders[-1], stem, 0 if ending.lower() in (".wav", ".flac") else 1)


def _cmuarctic(folders: tuple[str, ...], file: str) -> _Place | None:
    """CMU Arctic (Kominek and Black 2003); `orig/` in old releases holds the sentences of `wav/` once more."""
    for folder in folders:
        if fits := re.fullmatch(r"cmu_us_([a-z0-9]+)_arctic.*", folder):
            return _Place(fits[1], None, os.path.splitext(file)[0], 0 if folders[-1] == "wav" else 1)
    return None


def _folders(folders: tuple[str, ...], file: str) -> _Place | None:
    return _Place(folders[0], sys.intern("/".join(folders[1:])) or None) if folders else None


_RULES: dict[str, Callable[[tuple[str, ...], str], _Place | None]] = {
    "librispeech": _librispeech,
    "vctk": _vctk,
    "voxceleb": _voxceleb,
    "cmuarctic": _cmuarctic,
    "folders": _folders,
}


def _recognise(source: Path, folders: Sequence[Folder]) -> str:
    """The layout whose marks the recordings carry, by the first one in each folder."""
    folders = [folder for folder in folders if folder.recordings]
    if not folders:
        return "folders"
    total = sum(len(folder.recordings) for folder in folders)
    for layout, rule in _RULES.items():
        strays = [folder for folder in folders if not rule(folder.parts, folder.recordings[0])]
        share = sum(len(folder.recordings) for folder in strays) / total
        if layout == "folders" or share <= STRAYS:
            return layout
        if share < 1 - STRAYS:
            stray = strays[0].name(strays[0].recordings[0])
            raise UserError(
                f"{source}: several layouts in one: {1 - share:.0%} of the recordings are in layout {layout}, but not "
                f"{stray}; prepare each part by itself, or say --layout {layout} to take nothing else, "
                "or --layout folders"
            )
    raise AssertionError("the last rule takes what is left")


def _place(folders: Iterable[Folder], layout: str, remarks: Remarks) -> list[Recording]:
    """What fits the layout, every utterance once."""
    rule = _RULES[layout]
    taken: dict[tuple[str, str | None, str], tuple[int, str, Recording]] = {}
    for folder in folders:
        path, parts = Path(folder.path), tuple(printable(part) for part in folder.parts)
        for file in folder.recordings:
            name = folder.name(file)
            place = rule(parts, file)
            if place is None:
                remarks.passed(name, f"not in layout {layout}")
                continue
            key = (place.speaker, place.session, place.utterance or name)
            found = (place.rank, name, Recording(path / file, name, place.speaker, place.session))
            if key in taken:
                found, worse = sorted((found, taken[key]), key=lambda rival: rival[:2])
                remarks.passed(worse[1], "the same utterance from another microphone, format or folder")
            taken[key] = found
    return [recording for _, _, recording in taken.values()]


def _doubt_names(recordings: Iterable[Recording], remarks: Remarks) -> None:
    """Speakers whose names differ in capitals or in the spelling of an accent only."""
    alike = defaultdict[str, set[str]](set)
    for speaker in {recording.speaker for recording in recordings}:
        alike[unicodedata.normalize("NFKC", speaker).casefold()].add(speaker)
    for speakers in alike.values():
        if len(speakers) > 1:
            remarks.doubt(
                f"counted as {len(speakers)} speakers, though the names look alike: {', '.join(sorted(speakers))}"
            )


def _doubt_folders(source: Path, folders: Sequence[Folder], remarks: Remarks) -> None:
    """A table that nobody reads, folders without recordings, and a folder of speakers taken for a speaker."""
    for table in (
        source / name
        for folder in folders
        if not folder.parts
        for name in folder.listings
        if name.lower().endswith((".csv", ".tsv"))
    ):
        try:
            if is_table(table):
                remarks.doubt(f"{printable(str(table))} is a table of recordings; to go by it, prepare that file")
        except UserError as error:
            remarks.doubt(f"passed over, {error}")
    speakers = {folder.parts[0] for folder in folders if folder.parts and folder.recordings}
    for folder in folders:
        if len(folder.parts) == 1 and folder.parts[0] not in speakers:
            remarks.passed(printable(folder.parts[0]), "a folder without recordings")
    if len(speakers) == 1 and any(len(folder.parts) > 1 for folder in folders):
        only = source / speakers.pop()
        remarks.doubt(f"one speaker only; if the folders in {printable(str(only))} are the speakers, prepare that")
