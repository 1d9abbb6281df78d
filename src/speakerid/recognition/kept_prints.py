"""Single voice prints of enrolled recordings and turns, and corrections of turns, which a bundle keeps.

Centers of an enrolled speaker are computed from these prints, so that one can be taken out again. A print that a
correction has taken out stays until the correction cannot be undone any more.

Shapes: R prints, N speakers with a base, C clips of a speaker, K centers, D width of a voice print.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speakerid.recognition.centers import CENTERS

KEPT = ("prints", "print_rows", "base_speakers", "base_centers", "base_clips")
"""Names of the arrays in the file."""
COLUMNS = 7
"""Columns of `print_rows`: speaker, recording, start, end, seconds, added by, removed by; times in microseconds."""
_WHOLE = -1
"""End of a print of a whole recording, in the file."""
_MICRO = 1_000_000


@dataclass(frozen=True)
class KeptPrint:
    """Voice print of a recording, or of a turn in one."""

    name: str
    """Name of the speaker."""
    voice_print: NDArray[np.float32]
    """(D,) unit vector."""
    recording: int = 0
    """Digest of the whole recording, see `Voice.digest`; 0 if unknown."""
    start: float = 0.0
    """Seconds from the beginning of the recording."""
    end: float = math.inf
    seconds: float = 0.0
    """Duration of the sound, by which turns of one recording are weighted."""
    added_by: int = 0
    """Number of the correction that added it; 0 for an enrollment."""
    removed_by: int = 0
    """Number of the correction that took it out of the profile; 0 if it is in it."""

    @property
    def key(self) -> tuple[str, int, int, int, int]:
        """What identifies the print in a bundle, the same after the file was written and read."""
        start, end = (-1 if math.isinf(time) else round(time * _MICRO) for time in (self.start, self.end))
        return self.name, self.recording, start, end, self.added_by

    def overlaps(self, recording: int, start: float, end: float) -> bool:
        return self.recording == recording != 0 and self.start < end and start < self.end


@dataclass(frozen=True)
class Base:
    """Centers of a speaker before the first kept print: of training, or of an earlier version's enrollment."""

    centers: NDArray[np.float32]
    """(K, D)."""
    clips: NDArray[np.int64]
    """(K,) number of clips of each."""


@dataclass(frozen=True)
class Correction:
    """Who really speaks in a turn of a recording."""

    number: int
    """From 1, ascending."""
    recording: int
    """Digest of the recording."""
    start: float
    """Seconds from the beginning of the recording."""
    end: float
    name: str
    """Name of the speaker, in the bundle."""
    former: str | None
    """Name that the turn had; None for a stranger."""
    source: str = ""
    """Absolute path of the recording; empty for samples."""


@dataclass(frozen=True)
class KeptPrints:
    """All kept prints and corrections of a bundle."""

    prints: tuple[KeptPrint, ...] = ()
    bases: Mapping[str, Base] = field(default_factory=dict)
    corrections: tuple[Correction, ...] = ()

    def active(self, name: str) -> list[KeptPrint]:
        """Prints in the profile of a speaker."""
        return [one for one in self.prints if one.name == name and not one.removed_by]

    def clips(self, name: str) -> NDArray[np.float32]:
        """(C, D) voice prints of a speaker's recordings; turns of one recording are one clip, by their durations."""
        by: dict[object, list[KeptPrint]] = {}
        for number, one in enumerate(self.active(name)):
            by.setdefault(one.recording or (number,), []).append(one)
        clips = [mean_of(some) for some in by.values()]
        return np.unique(np.stack(clips), axis=0) if clips else np.zeros((0, 0), np.float32)

    def of_recording(self, digest: int) -> list[Correction]:
        """Corrections of a recording, in the order in which they were made."""
        return [one for one in self.corrections if one.recording == digest]

    def with_prints(self, prints: Iterable[KeptPrint]) -> KeptPrints:
        return replace(self, prints=(*self.prints, *prints))

    def without(self, name: str) -> KeptPrints:
        """Copy without a speaker's prints and corrections.

        What a correction in favor of the speaker took out of other profiles is the speaker's voice, and goes too.
        """
        gone = {one.number for one in self.corrections if one.name == name}
        prints = (one for one in self.prints if one.name != name and one.removed_by not in gone)
        corrections = (one for one in self.corrections if one.name != name)
        return KeptPrints(
            tuple(replace(one, added_by=0) if one.added_by in gone else one for one in prints),
            {other: base for other, base in self.bases.items() if other != name},
            tuple(replace(one, former=None) if one.former == name else one for one in corrections),
        )

    def renamed(self, old: str, new: str) -> KeptPrints:
        """Copy with another name for a speaker."""
        return KeptPrints(
            tuple(replace(one, name=new) if one.name == old else one for one in self.prints),
            {new if name == old else name: base for name, base in self.bases.items()},
            tuple(
                replace(
                    one,
                    name=new if one.name == old else one.name,
                    former=new if one.former == old else one.former,
                )
                for one in self.corrections
            ),
        )

    def arrays(self, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Arrays for the file by their names; none if there are no prints."""
        index = {name: number for number, name in enumerate(names)}
        found: dict[str, NDArray[Any]] = {}
        if self.prints:
            found["prints"] = np.stack([one.voice_print for one in self.prints])
            found["print_rows"] = np.array([_row(one, index[one.name]) for one in self.prints], np.int64)
        if self.bases:
            found["base_speakers"] = np.array([index[name] for name in self.bases], np.int64)
            found["base_centers"] = np.stack([base.centers for base in self.bases.values()])
            found["base_clips"] = np.stack([base.clips for base in self.bases.values()])
        return found

    @staticmethod
    def of_arrays(
        arrays: Mapping[str, NDArray[Any]], names: Sequence[str], corrections: Iterable[Correction]
    ) -> KeptPrints:
        """The inverse of `arrays`, of a bundle that was checked."""
        prints, bases = list[KeptPrint](), dict[str, Base]()
        if "prints" in arrays:
            for row, voice_print in zip(arrays["print_rows"].tolist(), arrays["prints"], strict=True):
                speaker, recording, start, end, seconds, added_by, removed_by = row
                last = math.inf if end == _WHOLE else end / _MICRO
                times = start / _MICRO, last, seconds / _MICRO
                prints.append(KeptPrint(names[int(speaker)], voice_print, recording, *times, added_by, removed_by))
        if "base_speakers" in arrays:
            rows = zip(arrays["base_speakers"].tolist(), arrays["base_centers"], arrays["base_clips"], strict=True)
            bases = {names[int(speaker)]: Base(centers, clips) for speaker, centers, clips in rows}
        return KeptPrints(tuple(prints), bases, tuple(corrections))


def prints_of(name: str, prints: NDArray[np.floating], digests: Sequence[int]) -> list[KeptPrint]:
    """Prints of whole recordings.

    Args:
        name: name of the speaker.
        prints: (R, D) voice prints.
        digests: digests of the recordings; if there are not as many, none is known.
    """
    of = digests if len(digests) == len(prints) else [0] * len(prints)
    return [KeptPrint(name, one, digest) for one, digest in zip(prints.astype(np.float32), of, strict=True)]


def shapes(arrays: Mapping[str, NDArray[Any]], width: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the arrays of a bundle whose voice prints have this width; sizes are those of the arrays."""
    count, bases = (arrays[name].shape[:1] if name in arrays else (0,) for name in ("prints", "base_speakers"))
    found: dict[str, tuple[int, ...]] = {}
    if "prints" in arrays or "print_rows" in arrays:
        found |= {"prints": (*count, width), "print_rows": (*count, COLUMNS)}
    if any(name in arrays for name in ("base_speakers", "base_centers", "base_clips")):
        found |= {
            "base_speakers": (*bases,),
            "base_centers": (*bases, CENTERS, width),
            "base_clips": (*bases, CENTERS),
        }
    return found


def _row(one: KeptPrint, speaker: int) -> list[int]:
    end = _WHOLE if math.isinf(one.end) else round(one.end * _MICRO)
    start, seconds = round(one.start * _MICRO), round(one.seconds * _MICRO)
    return [speaker, one.recording, start, end, seconds, one.added_by, one.removed_by]


def mean_of(some: Sequence[KeptPrint]) -> NDArray[np.float32]:
    """(D,) mean of voice prints, by the durations of their sound, scaled to length 1."""
    if len(some) == 1:
        return some[0].voice_print
    weights = np.maximum([one.seconds for one in some], 1e-6)
    mean = np.average([one.voice_print for one in some], axis=0, weights=weights)
    return (mean / max(float(np.linalg.norm(mean)), 1e-9)).astype(np.float32)
