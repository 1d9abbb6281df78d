"""Read annotations of any format: who speaks when in a recording."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from speakerid.annotations.audacity import is_label_track, read_audacity
from speakerid.annotations.elan import read_elan
from speakerid.annotations.rttm import read_rttm
from speakerid.annotations.subtitles import read_subtitles
from speakerid.annotations.textgrid import read_textgrid
from speakerid.annotations.tiers import Tier, turns_of
from speakerid.annotations.transcript_json import read_transcript
from speakerid.annotations.turns import Annotation, read_text
from speakerid.base.errors import UserError
from speakerid.base.printing import printable

FORMATS = {
    "rttm": ".rttm", "textgrid": ".textgrid", "elan": ".eaf", "audacity": ".txt", "srt": ".srt", "vtt": ".vtt",
    "json": ".json",
}  # fmt: skip
"""Ending of the files of each format, in the order in which they are preferred."""
TIERED = ("textgrid", "elan")
"""Formats with tiers."""
_SPAN = 1 << 16
"""Characters of a file to look at."""


def format_of(path: Path) -> str | None:
    """Format of a file by its name; None if annotations have no such names."""
    return next((name for name, ending in FORMATS.items() if path.name.lower().endswith(ending)), None)


def is_annotation(path: Path) -> bool:
    """Whether a file is an annotation, by its name and, where other files have such names, by its beginning."""
    kind = format_of(path)
    if kind not in ("audacity", "json"):
        return kind is not None
    try:
        with path.open(encoding="utf-8-sig") as file:
            start = file.read(_SPAN)
    except (OSError, UnicodeError):
        return False
    if kind == "audacity":
        return is_label_track(start.split("\n", 1)[0])
    return is_transcript(start)


def is_transcript(start: str) -> bool:
    """Whether the beginning of a JSON text is that of a transcript with segments."""
    decoder, position = json.JSONDecoder(), start.find("{") + 1
    if start[: max(position, 1)].strip() != "{":
        return False
    try:  # look at the keys before the segments, whose values are whole if the file begins with them
        while True:
            key, position = decoder.raw_decode(start, _skipped(start, position))
            position = _skipped(start, position)
            if key == "segments":
                return start[position : position + 1] == "["
            _, position = decoder.raw_decode(start, position)
            position = _skipped(start, position)
    except (ValueError, IndexError, RecursionError):
        return False


def _skipped(text: str, position: int) -> int:
    while text[position] in " \t\r\n:,":
        position += 1
    return position


def read_annotation(path: Path, tiers: Collection[str] = ()) -> Annotation:
    """Read an annotation.

    Args:
        path: file of one of `FORMATS`.
        tiers: names of the tiers to read; by default all, see `turns_of`.

    Raises:
        UserError: the file cannot be read, is damaged, has an unknown format, or lacks a tier.
    """
    kind = format_of(path)
    if kind is None:
        known = ", ".join(FORMATS.values())
        raise UserError(f"{path}: found the ending {printable(path.suffix) or 'none'}, expected one of {known}")
    if tiers and kind not in TIERED:
        raise UserError(
            f"--tiers: found with {path}, which has no tiers; leave it out, or add --layout annotated:textgrid"
        )
    text = read_text(path).content
    try:
        return _READERS[kind](text, tiers)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _of_tiers(tiers: Sequence[Tier], names: Collection[str]) -> Annotation:
    return Annotation(turns_of(tiers, names), (), [tier.name for tier in tiers])


_READERS: dict[str, Callable[[str, Collection[str]], Annotation]] = {
    "rttm": lambda text, _: read_rttm(text),
    "textgrid": lambda text, names: _of_tiers(read_textgrid(text), names),
    "elan": lambda text, names: _of_tiers(read_elan(text).tiers, names),
    "audacity": lambda text, _: Annotation(read_audacity(text)),
    "srt": lambda text, _: read_subtitles(text),
    "vtt": lambda text, _: read_subtitles(text),
    "json": lambda text, _: read_transcript(text),
}
