"""Tiers of TextGrids and of ELAN's files: which tier is which speaker's."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

from speakerid.annotations.turns import Turn, turn
from speakerid.base.errors import UserError
from speakerid.base.printing import counted, listed, printable

SPEAKER_TIERS = {"speaker", "speakers", "spk", "diarization", "who"}
"""Lower-case names of tiers in which the labels are the speakers' names."""
UNNAMED_TIERS = {"words", "phones", "word", "phone"}
"""Lower-case names of tiers that name no speaker."""
_ALIGNED = re.compile(r"(?P<speaker>.+) - (?:words|phones|utterances)")
"""Tiers of the Montreal Forced Aligner, `SPEAKER - words` and `SPEAKER - phones`."""


class Interval(NamedTuple):
    """An interval with its text, in seconds."""

    start: float
    end: float
    text: str
    where: str


class Tier(NamedTuple):
    """A tier of intervals."""

    name: str
    speaker: str
    """Name of the speaker if the tier is one speaker's."""
    intervals: Sequence[Interval]
    has_pauses: bool = True
    """Whether intervals without a text are pauses."""


def turns_of(tiers: Sequence[Tier], names: Collection[str] = ()) -> list[Turn]:
    """Turns in tiers: each is one speaker's, or its labels are the speakers' names.

    Args:
        tiers: tiers; intervals without a text are pauses.
        names: names of tiers to read, of which at least one must be among them; by default all.

    Raises:
        UserError: no tier has one of the names, or an interval ends before it starts.
    """
    known = [tier.name for tier in tiers]
    if names and not set(names) & set(known):
        missing = listed([printable(name) for name in names])
        found = f"{counted(len(known), 'tier')}: {listed([printable(one) for one in known])}" if known else "none"
        raise UserError(f"tier {missing}: missing, found {found}; give one of these names to --tiers")
    turns: list[Turn] = []
    for tier in [tier for tier in tiers if tier.name in names] if names else _read_by_default(tiers):
        for one in tier.intervals:
            if one.text.strip() or not tier.has_pauses:
                # Intervals of one speaker that touch are joined later, so words of a speaker are one turn.
                found = turn(one.start, one.end, _speaker(tier, one.text), one.where)
                turns += [found] if found else []
    return turns


def _read_by_default(tiers: Sequence[Tier]) -> list[Tier]:
    """Tiers of speakers' names if there are any, else all that may be one speaker's."""
    named = [tier for tier in tiers if _key(tier) in SPEAKER_TIERS]
    return named or [tier for tier in tiers if _key(tier) not in UNNAMED_TIERS]


def _key(tier: Tier) -> str:
    return tier.name.strip().lower()


def _speaker(tier: Tier, text: str) -> str:
    if _key(tier) in SPEAKER_TIERS:
        return text
    aligned = _ALIGNED.fullmatch(tier.speaker.strip())
    return aligned["speaker"] if aligned else tier.speaker
