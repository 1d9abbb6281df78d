"""Apply corrections to the segments of a timeline."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from speakerid.recognition.kept_prints import Correction
from speakerid.recognition.results import Segment


def honored(segments: Iterable[Segment], corrections: Iterable[Correction]) -> list[Segment]:
    """Segments with the names of corrections; segments are cut where a corrected turn begins or ends."""
    found = list(segments)
    for one in corrections:
        found = [part for segment in found for part in _cut(segment, one)]
    return found


def _cut(segment: Segment, one: Correction) -> list[Segment]:
    if segment.end <= one.start or one.end <= segment.start:
        return [segment]
    first, last = max(segment.start, one.start), min(segment.end, one.end)
    before, after = replace(segment, end=first), replace(segment, start=last)
    named = replace(segment, start=first, end=last, name=one.name, probability=1.0, stranger=None)
    return [part for part in (before, named, after) if part.start < part.end]
