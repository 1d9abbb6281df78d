"""Replace the names of speakers in the text of an annotation; everything else stays byte by byte."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence

from speakerid.annotations.turns import Label
from speakerid.base.printing import printable

LABELED = ("rttm", "srt", "vtt", "json")
"""Formats in which names can be replaced, see `speakerid.annotations.formats.FORMATS`."""


def rewritten(content: str, kind: str, labels: Sequence[Label], names: Sequence[str | None]) -> str:
    """Text with other names.

    Args:
        content: text that the labels were read from.
        kind: format of the text, one of `LABELED`.
        labels: places of names, in any order.
        names: the new name for each place, or None to leave it as it is. Names in RTTM must not have blanks.
    """
    parts: list[str] = []
    position = 0
    for label, name in sorted(zip(labels, names, strict=True), key=lambda pair: pair[0].first):
        if name is not None and name != label.name:
            written = _written(name, kind, content)
            added = label.name is None
            parts += [content[position : label.first], _as_prefix(written, kind) if added else written]
            position = label.last
    return "".join([*parts, content[position:]])


def _written(name: str, kind: str, content: str) -> str:
    if kind == "json":
        return json.dumps(name, ensure_ascii=content.isascii() and "\\u" in content)
    return html.escape(printable(name), quote=False) if kind == "vtt" else printable(name)


def _as_prefix(name: str, kind: str) -> str:
    return f"<v {name}>" if kind == "vtt" else f"{name}: "
