"""Change the profiles and the kept prints of a bundle together: enroll, correct and undo.

A profile follows from a speaker's base and the prints in the profile, so undoing a change restores it exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from speakerid.base.errors import UserError
from speakerid.recognition.kept_prints import Base, Correction, KeptPrint, KeptPrints
from speakerid.recognition.profiles import Profiles


@dataclass(frozen=True)
class Known:
    """Profiles of a bundle, and the prints and corrections that they follow from."""

    profiles: Profiles
    kept: KeptPrints


def enrolled(known: Known, prints: Sequence[KeptPrint], digests: Iterable[int], add: bool) -> Known:
    """Add a speaker, or recordings of one.

    Args:
        known: remains unchanged.
        prints: prints of the speaker, at least one.
        digests: digests of whole recordings among them.
        add: add to an existing speaker.

    Raises:
        UserError: as for `Profiles.with_speaker` and `Profiles.with_more`.
    """
    if not add:
        profiles = known.profiles.with_speaker(prints[0].name, KeptPrints(tuple(prints)).clips(prints[0].name), digests)
        name = profiles.names[-1]
        return Known(profiles, known.kept.with_prints(replace(one, name=name) for one in prints))
    name = known.profiles.names[known.profiles.index(prints[0].name)]
    kept = _with_base(known, name).with_prints(replace(one, name=name) for one in prints)
    return _remade(Known(known.profiles, kept), [name], digests)


def corrected(known: Known, correction: Correction, removed: Sequence[KeptPrint], added: Sequence[KeptPrint]) -> Known:
    """Correct a turn.

    Args:
        known: remains unchanged.
        correction: correction in favor of a speaker, who is new if there is no profile of that name.
        removed: prints to take out of profiles.
        added: prints to add to profiles: of the turn to the speaker's, and what is left of those taken out.

    Raises:
        UserError: the name is invalid, or a speaker would be left without prints.
    """
    gone = {one.key for one in removed}
    prints = [
        replace(one, removed_by=correction.number) if one.key in gone and not one.removed_by else one
        for one in known.kept.prints
    ]
    kept = replace(known.kept, prints=tuple(prints), corrections=(*known.kept.corrections, correction))
    known = Known(known.profiles, kept)
    for one in (replace(one, added_by=correction.number) for one in added):
        known = enrolled(known, [one], (), one.name in known.profiles.names)
    for name in dict.fromkeys(one.name for one in removed):
        if not known.kept.active(name) and name not in known.kept.bases:
            raise UserError(
                f"{name}: enrolled from this turn alone; `speakerid forget` {name!r} first, and then correct the turn"
            )
    return _remade(known, [one.name for one in removed])


def undone(known: Known) -> tuple[Known, Correction]:
    """Undo the last correction; a speaker whom it enrolled, and who has nothing else, is removed.

    Raises:
        UserError: there is none.
    """
    if not known.kept.corrections:
        raise UserError("nothing to undo: the bundle has no corrections")
    *others, last = known.kept.corrections
    touched = [one for one in known.kept.prints if last.number in (one.added_by, one.removed_by)]
    prints = (one for one in known.kept.prints if one.added_by != last.number)
    restored = tuple(replace(one, removed_by=0) if one.removed_by == last.number else one for one in prints)
    kept = replace(known.kept, prints=restored, corrections=tuple(others))
    profiles = known.profiles
    for name in dict.fromkeys(one.name for one in touched):
        if not kept.active(name) and name not in kept.bases:
            profiles, kept = profiles.without(name), kept.without(name)
    names = [name for name in dict.fromkeys(one.name for one in touched) if name in profiles.names]
    return _remade(Known(profiles, kept), names), last


def _with_base(known: Known, name: str) -> KeptPrints:
    """Kept prints with the base of a speaker, whose first print is to be added."""
    kept, index = known.kept, known.profiles.index(name)
    if name in kept.bases or any(one.name == name for one in kept.prints):
        return kept
    base = Base(known.profiles.centers[index], known.profiles.center_clips[index])
    return replace(kept, bases={**kept.bases, name: base})


def _remade(known: Known, names: Iterable[str], digests: Iterable[int] = ()) -> Known:
    """Compute the profiles of speakers again, and drop bases that are not needed any more."""
    profiles, kept = known.profiles, known.kept
    for name in names:
        base, clips = kept.bases.get(name), kept.clips(name)
        profiles = profiles.remade(name, (base.centers, base.clips) if base else None, clips, digests)
        if not any(one.name == name for one in kept.prints):
            kept = replace(kept, bases={other: one for other, one in kept.bases.items() if other != name})
    return Known(profiles, kept)
