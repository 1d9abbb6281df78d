"""Detect and read files that list recordings."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from speakerid.base.errors import UserError
from speakerid.base.printing import printable
from speakerid.preparation.sources.annotated import AnnotationReader
from speakerid.preparation.sources.annotated_table import annotated_in_table, is_annotated
from speakerid.preparation.sources.kaldi import read_kaldi
from speakerid.preparation.sources.lhotse import read_lhotse, recordings_manifest
from speakerid.preparation.sources.manifests import ENDINGS, json_table, kind_of
from speakerid.preparation.sources.recordings import Recording
from speakerid.preparation.sources.tables import is_speechbrain, is_table, read_table
from speakerid.preparation.sources.text_table import read_header, read_text_table
from speakerid.preparation.sources.walk import KALDI, Folder, Remarks

MAX_OPENED = 20
"""Maximum number of candidate files in a folder to open."""
LISTING_LAYOUTS = ("table", "kaldi", "nemo", "lhotse", "speechbrain")
"""Layouts in which a file lists the recordings."""


class Listing(NamedTuple):
    """A file that lists recordings; for Kaldi, the wav.scp of its folder."""

    path: Path
    layout: str

    @property
    def folder(self) -> Path:
        return self.path.parent

    def hint(self) -> str:
        """One line that says how to use the listing."""
        if self.layout == "kaldi":
            return f"{printable(self.folder)} is a Kaldi data directory; to use it, prepare that folder"
        what = "a table of recordings" if self.layout == "table" else f"a {self.layout} manifest"
        return f"{printable(self.path)} is {what}; to use it, prepare that file"


def listing_of(path: Path, layout: str = "auto") -> Listing | None:
    """Detect the layout of a file; None if it is not a listing, judged by its name.

    Args:
        path: a file.
        layout: layout that the user gave, or `auto`.

    Raises:
        UserError: the file cannot be read, or is not in the layout.
    """
    name = path.name.lower()
    if path.name in KALDI:
        found = "kaldi"
    elif name.endswith(ENDINGS):
        found = kind_of(path)
        if found is None:
            raise UserError(f"{path}: not a manifest of recordings; expected objects with audio_filepath and label")
    elif name.endswith((".csv", ".tsv", ".txt", ".lst")):
        found = "speechbrain" if is_speechbrain(read_header(path)) else "table"
        found = "table" if layout == "table" else found
    else:
        return None
    if layout in (*LISTING_LAYOUTS,) and found != layout and not (found == "table" and layout == "speechbrain"):
        raise UserError(f"{path}: not in layout {layout}: looks like layout {found}; use --layout {found}, or auto")
    return Listing(path, layout if layout in LISTING_LAYOUTS else found)


def find_listings(folders: Sequence[Folder], remarks: Remarks, everywhere: bool = False) -> list[Listing]:
    """Find the listings in folders; unreadable tables get a remark.

    Args:
        folders: folders of a source.
        remarks: collects what is skipped.
        everywhere: also open files next to a speaker's recordings.
    """
    found: list[Listing] = []
    for folder in folders:
        if "wav.scp" in folder.listings:
            found.append(Listing(Path(folder.path, "wav.scp"), "kaldi"))
        names = [name for name in folder.listings if name not in KALDI]
        # A speaker's folder often has a transcript for each recording; opening thousands of them is slow.
        several = not everywhere and (len(names) > MAX_OPENED or (folder.parts and folder.recordings))
        for name in names:
            if several:
                remarks.skipped_ending(_ending(name))
            elif listing := _listing_in(folder, name, remarks):
                found.append(listing)
    return found


def read_listings(
    listings: Sequence[Listing], root: Path, remarks: Remarks, reader: AnnotationReader
) -> list[Recording]:
    """Read the recordings of several listings; a recording in two of them counts once.

    Raises:
        UserError: a listing cannot be read.
        CorpusError: lists every wrong row of a listing.
    """
    recordings: dict[object, Recording] = {}
    for listing in listings:
        for one in _read(listing, root, remarks, reader):
            earlier = recordings.setdefault((one.path, one.start, one.end, one.channel), one)
            if earlier is not one:
                remarks.skipped(f"{one.name} in {printable(listing.path.name)}", "already listed in another file")
    return list(recordings.values())


def _listing_in(folder: Folder, name: str, remarks: Remarks) -> Listing | None:
    """Detect whether a file next to recordings is a listing; most are not, so this does not raise."""
    path, manifest = Path(folder.path, name), name.lower().endswith(ENDINGS)
    try:
        kind = kind_of(path) if manifest else _table_kind(path)
    except UserError as error:
        if not manifest:
            remarks.doubt(f"skipped, {error}")
            return None
        kind = None
    if kind is None:
        remarks.skipped_ending(_ending(name))
        return None
    if kind == "lhotse" and "supervisions" in name and recordings_manifest(path):
        return None  # read together with its recordings
    return Listing(path, kind)


def _table_kind(path: Path) -> str | None:
    if not is_table(path):
        return None
    return "speechbrain" if is_speechbrain(read_header(path)) else "table"


def _ending(name: str) -> str:
    stem, ending = os.path.splitext(name.lower())
    return printable(os.path.splitext(stem)[1] + ending if ending == ".gz" else ending or ".(none)")


def _read(listing: Listing, root: Path, remarks: Remarks, reader: AnnotationReader) -> list[Recording]:
    if listing.layout == "kaldi":
        return read_kaldi(listing.folder, root, remarks)
    if listing.layout == "lhotse":
        return read_lhotse(listing.path, root, remarks)
    named = listing.path.name.lower()
    table = json_table(listing.path) if named.endswith(ENDINGS) else read_text_table(listing.path)
    if is_annotated(table):
        return reader.read(annotated_in_table(table, root, remarks), root)
    return read_table(table, listing.layout, root, remarks)
