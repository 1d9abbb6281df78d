"""ELAN's annotation files, .eaf (https://www.mpi.nl/tools/elan/EAF_Annotation_Format_3.0_and_ELAN.pdf)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple
from xml.etree import ElementTree

from speakerid.annotations.tiers import Interval, Tier
from speakerid.base.errors import UserError
from speakerid.base.printing import printable


class Media(NamedTuple):
    """A recording that an annotation file names."""

    name: str
    """Name of the file, without its folders."""
    origin: float
    """Seconds of the recording at which the annotation begins."""


class Elan(NamedTuple):
    """Content of an .eaf file."""

    tiers: list[Tier]
    media: list[Media]


def read_elan(text: str) -> Elan:
    """Read the tiers that do not depend on another one; the others repeat their times.

    The speaker of a tier is its participant or, if that is not filled in, the name of the tier. Time slots without a
    value are legal; they are spread evenly between their neighbors in the tier, as ELAN draws them.

    Raises:
        UserError: the text is not XML, or not an annotation document, or a time slot is missing.
    """
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise UserError(f"not complete XML ({error}); save it again in ELAN") from error
    if root.tag != "ANNOTATION_DOCUMENT":
        raise UserError(f"found XML of type {printable(root.tag)}, expected ELAN's ANNOTATION_DOCUMENT")
    slots = _slots(root)
    tiers = [
        Tier(
            tier.get("TIER_ID", ""), tier.get("PARTICIPANT") or tier.get("TIER_ID", ""), _intervals(tier, slots), False
        )
        for tier in root.iter("TIER")
        if not tier.get("PARENT_REF")
    ]
    media = [
        Media(_name(one.get("RELATIVE_MEDIA_URL") or one.get("MEDIA_URL", "")), int(one.get("TIME_ORIGIN", 0)) / 1000)
        for one in root.iter("MEDIA_DESCRIPTOR")
        if one.get("TIME_ORIGIN", "0").isdecimal()
    ]
    return Elan(tiers, media)


def _name(url: str) -> str:
    return os.path.basename(url.replace("\\", "/"))


def _slots(root: ElementTree.Element) -> dict[str, float | None]:
    """Time in seconds of every slot, None if it has no value."""
    slots: dict[str, float | None] = {}
    for slot in root.iter("TIME_SLOT"):
        name, value = slot.get("TIME_SLOT_ID", ""), slot.get("TIME_VALUE")
        if value is not None and not value.isdecimal():
            raise UserError(f"time slot {printable(name)}: found {printable(value)!r}, expected milliseconds")
        slots[name] = None if value is None else int(value) / 1000
    return slots


def _intervals(tier: ElementTree.Element, slots: Mapping[str, float | None]) -> list[Interval]:
    """Intervals of a tier; an annotation without words is speech too."""
    wheres: list[str] = []
    names: list[str] = []
    for one in tier.iter("ALIGNABLE_ANNOTATION"):
        where = f"tier {printable(tier.get('TIER_ID', ''))}, annotation {printable(one.get('ANNOTATION_ID', ''))}"
        wheres.append(where)
        for side in ("TIME_SLOT_REF1", "TIME_SLOT_REF2"):
            names.append(name := one.get(side, ""))
            if name not in slots:
                raise UserError(f"{where}: {side}: found {printable(name)!r}, which is not a time slot of the file")
    texts = [value.text or "" for value in tier.iter("ANNOTATION_VALUE")]
    times = _filled(names, [slots[name] for name in names])
    if times is None:
        raise UserError(f"{wheres[0]}: its times are unknown; align the first and last annotation of the tier in ELAN")
    rows = zip(times[::2], times[1::2], texts, wheres, strict=False)
    return [Interval(start, end, text, where) for start, end, text, where in rows]


def _filled(names: Sequence[str], times: Sequence[float | None]) -> list[float] | None:
    """Times without gaps: slots without a value are evenly spaced; None if the first or last one has no value."""
    if not times:
        return []
    if times[0] is None or times[-1] is None:
        return None
    # A slot that two annotations share is one point in time.
    steps = [0.0, *(0.0 if one == other else 1.0 for one, other in pairwise(names))]
    known = [index for index, time in enumerate(times) if time is not None]
    filled = [time or 0.0 for time in times]
    for left, right in pairwise(known):
        total = sum(steps[left + 1 : right + 1])
        done = 0.0
        for index in range(left + 1, right):
            done += steps[index]
            filled[index] = round(filled[left] + (filled[right] - filled[left]) * done / (total or 1.0), 6)
    return filled
