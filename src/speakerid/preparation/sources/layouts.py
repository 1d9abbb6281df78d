"""Detect the layout of a source, and find its recordings by the rules of that layout."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from speakerid.annotations.formats import FORMATS, is_annotation
from speakerid.audio.decode import EXTENSIONS
from speakerid.base.errors import UserError
from speakerid.base.printing import nfc, printable
from speakerid.corpus.hw4_json import METADATA
from speakerid.corpus.locate import locate
from speakerid.corpus.utterances import PACKED, PARTS
from speakerid.preparation.sources.annotated import AnnotationReader, TurnOptions
from speakerid.preparation.sources.annotated_files import ENDINGS as ANNOTATION_ENDINGS
from speakerid.preparation.sources.annotated_files import LAYOUT as ANNOTATED
from speakerid.preparation.sources.annotated_files import (
    find_annotated,
    folder_of,
    looks_annotated,
    skip_annotations,
)
from speakerid.preparation.sources.commonvoice import common_voice, find_languages, is_common_voice
from speakerid.preparation.sources.listings import LISTING_LAYOUTS, Listing, find_listings, listing_of, read_listings
from speakerid.preparation.sources.path_rules import RULES, Rule
from speakerid.preparation.sources.recordings import Recording, Scan, normalize_name, sort_recordings
from speakerid.preparation.sources.speaker_folders import MAX_STRAYS, folder_rule, level_rule
from speakerid.preparation.sources.tables import TABLE
from speakerid.preparation.sources.walk import Folder, Remarks, describe_path, walk

LAYOUTS = {
    "hw4": "the HW4 layout with metadata.json",
    "table": TABLE,
    "kaldi": "a Kaldi data directory with wav.scp and utt2spk, perhaps segments and reco2file_and_channel",
    "nemo": "a NeMo manifest: lines of JSON with audio_filepath, label, perhaps offset and duration",
    "lhotse": "lhotse's manifests: *recordings*.jsonl.gz with *supervisions*.jsonl.gz, or *cuts*.jsonl.gz",
    "speechbrain": "a SpeechBrain manifest: CSV or JSON with ID, duration, wav, spk_id, perhaps start, stop in samples",
    "annotated": "recordings with .rttm (and .uem), .TextGrid, .eaf, Audacity labels, .srt, .vtt or .json transcripts",
    "commonvoice": "validated.tsv, or train.tsv, dev.tsv and test.tsv, next to clips/NAME.mp3",
    "librispeech": "SPEAKER/CHAPTER/SPEAKER-CHAPTER-0000.flac at any depth",
    "vctk": "p225/p225_001_mic1.flac at any depth",
    "voxceleb": "id10270/VIDEO/00001.wav at any depth",
    "cnceleb": "id00000/GENRE-01-001.flac at any depth",
    "cmuarctic": "cmu_us_NAME_arctic/wav/arctic_a0001.wav at any depth",
    "folders": "SPEAKER/anything.wav or SPEAKER/SESSION/anything.wav",
}
"""Description of every layout, in the order in which they are tried.

`folders:N` is `folders` with the speakers at level N: `folders:2` is ANYTHING/SPEAKER/anything.wav.
`annotated:FORMAT` is `annotated` with annotations of one of `speakerid.annotations.formats.FORMATS`.
"""

_LEVEL_OR_FORMAT = re.compile(rf"folders:[1-9]|{ANNOTATED}:({'|'.join(FORMATS)})")
PLACEHOLDER_NAMES = {"unknown", "unk", "<unk>", "nan", "none", "null", "n/a", "?", "infer", "<na>"}
"""Lower-case names that do not identify a speaker."""


def scan(source: Path, layout: str = "auto", turns: TurnOptions | None = None) -> Scan:
    """Find the recordings of a folder, a table or a manifest.

    Links are followed, and hidden files and folders (`.name`) are skipped silently.

    Args:
        source: a folder or a file in one of `LAYOUTS`; the paths in a file are relative to it, or absolute.
        layout: one of `LAYOUTS`, or `auto` to detect it; `folders` if no other layout fits.
        turns: how turns of annotated recordings are read; refused if the recordings are not annotated.

    Returns:
        The recordings; none for `hw4`, which already holds features.

    Raises:
        UserError: nothing in the source fits the layout, or several layouts are mixed.
        CorpusError: lists every wrong row of a table or a manifest.
    """
    if layout not in ("auto", *LAYOUTS) and not _LEVEL_OR_FORMAT.fullmatch(layout):
        raise UserError(
            f"layout {layout!r}: unknown; expected auto, {', '.join(LAYOUTS)}, a format as in annotated:srt (one of "
            f"{', '.join(FORMATS)}), or a level as in folders:2"
        )
    remarks = Remarks()
    reader = AnnotationReader(remarks, turns or TurnOptions())
    if os.path.isfile(source):  # Path.is_file raises an exception without permission
        layout, recordings = _read_file(source, layout, remarks, reader)
    elif os.path.isdir(source):
        layout, recordings = _read_folder(source, layout, remarks, reader)
    else:
        found = describe_path(source).replace("no such file", "no such folder or table")
        raise UserError(f"{source}: {found}; expected {LAYOUTS['folders']}, or {TABLE}")
    if not recordings and layout != "hw4":
        expected = f"{source}: no recordings in layout {layout}; expected {_expected(layout)}, ending in "
        raise UserError("; ".join([expected + " ".join(EXTENSIONS), *remarks.lines()]))
    if turns is not None and not reader.annotated:
        raise UserError(f"{source}: layout {layout}: found options for annotated recordings, which these are not")
    _doubt_names(recordings, remarks)
    return Scan(layout, sort_recordings(recordings), remarks.lines(), reader.left_out)


def _expected(layout: str) -> str:
    return LAYOUTS[layout.partition(":")[0]]


def _read_file(source: Path, layout: str, remarks: Remarks, reader: AnnotationReader) -> tuple[str, list[Recording]]:
    """Layout and recordings of a file."""
    if layout.startswith(ANNOTATED) or (layout == "auto" and is_annotation(source)):
        return _read_annotated([folder_of(source)], layout, source.parent, reader)
    clips = source.parent / "clips"
    common = layout == "auto" and source.suffix == ".tsv" and os.path.isdir(clips) and is_common_voice(source)
    if common or layout == "commonvoice":
        listing = sorted(os.listdir(clips)) if os.access(clips, os.R_OK) else []
        folder = Folder(str(clips), ("clips",), listing, [], [])
        return "commonvoice", common_voice([folder], [(folder, [source])], remarks)
    listing = listing_of(source, layout) if layout in ("auto", *LISTING_LAYOUTS) else None
    if listing is None:
        expected = LAYOUTS["table"] if layout == "auto" else _expected(layout)
        raise UserError(f"{source}: found a file; expected {expected}, or a folder; unpack an archive first")
    return listing.layout, read_listings([listing], listing.folder, remarks, reader)


def _read_annotated(
    folders: Sequence[Folder], layout: str, root: Path, reader: AnnotationReader
) -> tuple[str, list[Recording]]:
    chosen = layout.partition(":")[2]
    return ANNOTATED, reader.read(find_annotated(folders, chosen, reader.remarks), root)


def _read_folder(source: Path, layout: str, remarks: Remarks, reader: AnnotationReader) -> tuple[str, list[Recording]]:
    """Layout and recordings of a folder."""
    if layout in ("auto", "hw4") and os.path.isfile(source / METADATA):
        return "hw4", []
    if layout == "auto" and os.path.isfile(source / PACKED / f"{PARTS[0]}.json"):
        raise UserError(
            f"{source}: found a corpus that was prepared, expected recordings; prepare its recordings again, or all of "
            "them as one table with --layout table"
        )
    if layout == "hw4":
        if os.path.isfile(locate(source) / METADATA):
            return "hw4", []
        raise UserError(f"{source}: not in layout {layout}: expected {LAYOUTS[layout]}, found a folder without that")
    folders = walk(source, remarks, ANNOTATION_ENDINGS)
    languages = list(find_languages(folders))
    if layout.startswith(ANNOTATED) or (layout == "auto" and not languages and looks_annotated(folders)):
        return _read_annotated(folders, layout, source, reader)
    skip_annotations(folders, remarks)
    if layout == "commonvoice" or (layout == "auto" and languages):
        return "commonvoice", common_voice(folders, languages, remarks)
    listings = find_listings(folders, remarks, layout in LISTING_LAYOUTS)
    nothing = not listings and not any(folder.recordings for folder in folders)
    if layout == "auto" and nothing and os.path.isfile(locate(source) / METADATA):
        return "hw4", []
    if layout in LISTING_LAYOUTS or (layout == "auto" and _goes_by_listings(folders, listings)):
        return _read_listed(source, layout, listings, remarks, reader)
    for listing in listings:
        remarks.doubt(listing.hint())
    layout = _recognize(source, folders) if layout == "auto" else layout
    if layout.startswith("folders"):
        _remark_empty(folders, remarks)
        rule = level_rule(int(layout[8:])) if layout != "folders" else folder_rule(folders, remarks)
    else:
        rule = RULES[layout]
    return layout, _match_files(folders, layout, rule, remarks)


def _goes_by_listings(folders: Sequence[Folder], listings: Sequence[Listing]) -> bool:
    """Whether there are only listings, or every recording is below a Kaldi or lhotse listing."""
    filled = [folder.path for folder in folders if folder.recordings]
    if not filled:
        return bool(listings)
    above = [str(listing.folder) for listing in listings if listing.layout in ("kaldi", "lhotse")]
    return all(any(path == one or path.startswith(os.path.join(one, "")) for one in above) for path in filled)


def _read_listed(
    source: Path, layout: str, listings: Sequence[Listing], remarks: Remarks, reader: AnnotationReader
) -> tuple[str, list[Recording]]:
    layout = layout if layout != "auto" else listings[0].layout
    chosen = [listing for listing in listings if listing.layout == layout]
    if not chosen:
        raise UserError(f"{source}: not in layout {layout}: expected {LAYOUTS[layout]}, found a folder without that")
    for listing in listings:
        if listing.layout != layout:
            remarks.doubt(listing.hint())
    if len(chosen) > 1:
        names = ", ".join(printable(os.path.relpath(listing.path, source)) for listing in chosen)
        remarks.note(f"{names} are joined; to avoid this, prepare each one separately")
    return layout, read_listings(chosen, source, remarks, reader)


def _recognize(source: Path, folders: Sequence[Folder]) -> str:
    """Detect the layout by the first recording in each folder."""
    folders = [folder for folder in folders if folder.recordings]
    total = sum(len(folder.recordings) for folder in folders)
    for layout, rule in RULES.items() if folders else ():
        strays = [folder for folder in folders if not rule(folder.parts, folder.recordings[0])]
        share = sum(len(folder.recordings) for folder in strays) / total
        if share <= MAX_STRAYS:
            return layout
        if share < 1 - MAX_STRAYS:
            stray = strays[0].name(strays[0].recordings[0])
            raise UserError(
                f"{source}: several layouts: {1 - share:.0%} of the recordings are in layout {layout}, but not "
                f"{stray}; prepare each part separately, or use --layout {layout} to read nothing else, "
                "or --layout folders"
            )
    return "folders"


def _match_files(folders: Iterable[Folder], layout: str, rule: Rule, remarks: Remarks) -> list[Recording]:
    """Recordings that fit the layout, one per utterance."""
    taken: dict[tuple[str, str | None, str], tuple[int, str, Recording]] = {}
    for folder in folders:
        path, parts = Path(folder.path), tuple(nfc(printable(part)) for part in folder.parts)
        for file in folder.recordings:
            name = folder.name(file)
            labels = rule(parts, file)
            if labels is None:
                remarks.skipped(name, f"not in layout {layout}")
                continue
            key = (labels.speaker, labels.session, labels.utterance or name)
            found = (labels.rank, name, Recording(path / file, name, labels.speaker, labels.session))
            if key in taken:
                found, worse = sorted((found, taken[key]), key=lambda candidate: candidate[:2])
                remarks.skipped(worse[1], "the same utterance from another microphone, format or folder")
            taken[key] = found
    return [recording for _, _, recording in taken.values()]


def _doubt_names(recordings: Iterable[Recording], remarks: Remarks) -> None:
    """Report speakers whose names look alike (see `normalize_name`) or are placeholders."""
    alike = defaultdict[str, set[str]](set)
    for speaker in sorted({recording.speaker for recording in recordings}):
        alike[normalize_name(speaker)].add(speaker)
    for name, speakers in alike.items():
        names = ", ".join(sorted(speakers))
        if len(speakers) > 1:
            remarks.doubt(f"counted as {len(speakers)} speakers, although the names look alike: {names}")
        if name in PLACEHOLDER_NAMES:
            remarks.doubt(f"{names} is read as one speaker; if it means unknown people, leave them out")
        for speaker in sorted(speakers):
            if re.search(r"\\(x[0-9a-f]{2}|u[0-9a-f]{4}|[ntr])", speaker):
                remarks.doubt(f"the name of speaker {speaker} holds invisible characters, written as escapes")


def _remark_empty(folders: Sequence[Folder], remarks: Remarks) -> None:
    filled = {folder.parts[0] for folder in folders if folder.parts and folder.recordings}
    for folder in folders:
        if len(folder.parts) == 1 and folder.parts[0] not in filled:
            remarks.skipped(printable(folder.parts[0]), "a folder without recordings")
