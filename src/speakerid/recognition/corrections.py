"""Corrections of turns in a recording: find the turn, its voice, and what a correction changes in a bundle."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speakerid.base.errors import UserError
from speakerid.recognition.bundle import Bundle
from speakerid.recognition.bundle_changes import Known, corrected, undone
from speakerid.recognition.identification import check_encoder
from speakerid.recognition.kept_prints import Correction, KeptPrint
from speakerid.recognition.results import Segment, Voice
from speakerid.recognition.sample_digest import SampleDigest
from speakerid.recognition.timeline import VOICE_SECONDS, cells_in, segments_of, speech_in
from speakerid.recognition.timeline_cells import STEP_SECONDS
from speakerid.recognition.timeline_labels import clock, label_of
from speakerid.recognition.voice_encoder import SHORTEST, VoiceEncoder
from speakerid.recognition.waveforms import Recording, path_of

Span = tuple[float, float]
"""Start and end in seconds."""
NEAREST = 2
"""Number of turns that a message shows."""


@dataclass(frozen=True)
class Turn:
    """A turn of a recording, and all that a correction needs of it.

    Attributes:
        segment: the turn.
        recording: digest of the recording.
        source: absolute path; empty for samples.
        voice: voice in the turn; None if it is shorter than `SHORTEST`.
        overlapping: prints in profiles that this turn is part of.
        rest: prints of what they are of before the turn and after it; shorter ones than `SHORTEST` are left out.
    """

    segment: Segment
    recording: int
    source: str
    voice: Voice | None
    overlapping: Sequence[KeptPrint]
    rest: Sequence[KeptPrint]


def turn_at(
    bundle: Bundle,
    encoder: VoiceEncoder,
    recording: Recording,
    moment: float,
    sample_rate: int | None = None,
    false_accepts: float | None = None,
) -> Turn:
    """Find the turn at a moment of a recording, as its timeline has it.

    Args:
        bundle, encoder, recording, sample_rate, false_accepts: see `speakerid.recognition.timeline.timeline`.
        moment: seconds from the beginning.

    Raises:
        UserError: no one speaks at this moment, the recording cannot be read, has changed since it was corrected, or
            changes while it is read.
    """
    speech = speech_in(bundle, encoder, recording, sample_rate, false_accepts)
    segment = _at(segments_of(bundle, [speech], false_accepts)[0], moment, path_of(recording))
    path = path_of(recording)
    source = os.path.abspath(path) if path else ""
    if changed := changed_since(bundle, source, speech.digest):
        raise UserError(
            f"{path}: has changed since {changed} of its turns {'was' if changed == 1 else 'were'} corrected; give the "
            "former file, or the changed one under another name"
        )
    span = segment.start, segment.end
    overlapping = [one for one in bundle.kept.prints if not one.removed_by and one.overlaps(speech.digest, *span)]
    rests = [replace(one, end=span[0]) for one in overlapping] + [replace(one, start=span[1]) for one in overlapping]
    spans = [span, *((one.start, one.end) for one in rests)]
    voice, *others = voices_in(bundle, encoder, recording, sample_rate, spans, speech.digest)
    rest = [
        replace(one, voice_print=other.voice_print, seconds=other.seconds)
        for one, other in zip(rests, others, strict=True)
        if other is not None
    ]
    return Turn(segment, speech.digest, source, voice, overlapping, rest)


def changed_since(bundle: Bundle, source: str, digest: int) -> int:
    """Number of corrections of a file whose content was another one.

    Args:
        bundle: has the corrections.
        source: absolute path of the file; empty for samples.
        digest: digest of the samples.
    """
    return sum(1 for one in bundle.kept.corrections if source and one.source == source and one.recording != digest)


def voices_in(
    bundle: Bundle,
    encoder: VoiceEncoder,
    recording: Recording,
    sample_rate: int | None,
    spans: Sequence[Span],
    expected: int,
) -> list[Voice | None]:
    """Voices in parts of a recording; None for those shorter than `SHORTEST`.

    Args:
        bundle, encoder, recording, sample_rate: see `turn_at`.
        spans: start and end of each part, in seconds.
        expected: digest of the recording.

    Raises:
        UserError: the recording is not the expected one any more.
    """
    found, digest = voices_and_digest(bundle, encoder, recording, sample_rate, spans)
    if digest != expected:
        raise UserError(f"{path_of(recording)}: changed while it was read; run the command again")
    return found


def voices_and_digest(
    bundle: Bundle, encoder: VoiceEncoder, recording: Recording, sample_rate: int | None, spans: Sequence[Span]
) -> tuple[list[Voice | None], int]:
    """`voices_in` any recording, with its digest."""
    found: list[list[NDArray[np.float32]]] = [[] for _ in spans]
    digest = SampleDigest(bundle.features.sample_rate)
    for cells in cells_in(bundle, recording, sample_rate, digest):
        middles = (np.array(cells.starts) + np.array(cells.ends)) / 2
        for frames, (start, end) in zip(found, spans, strict=True):
            inside = (middles >= start) & (middles < end)
            frames.extend(cells.frames[row] for row in np.flatnonzero(inside).tolist())
    return [_voice(encoder, frames, bundle.features.frames_per_second) for frames in found], digest.value


def correct(bundle: Bundle, turn: Turn, name: str, new: bool = False) -> tuple[Bundle, Correction]:
    """Correct the speaker of a turn.

    Args:
        bundle: remains unchanged; the bundle that the turn was found with, or one with the same prints.
        turn: the turn.
        name: name of the speaker.
        new: enroll a new speaker of this name.

    Raises:
        UserError: the name is unknown, or taken with `new`; the turn has this name; the turn is too short to enroll a
            speaker from; the bundle was changed since the turn was found; or see `bundle_changes.corrected`.
    """
    name, said = named(bundle, name, new), turn.segment
    when = f"{clock(said.start)} – {clock(said.end)}"
    if said.name == name:
        raise UserError(f"{when}: is {name!r} already; nothing to correct")
    if new and turn.voice is None:
        raise UserError(f"{when}: has less than {SHORTEST:g} s of sound, too little to enroll {name!r} from")
    check_encoder(bundle, [turn.voice] if turn.voice else [])
    if not {one.key for one in turn.overlapping} <= {one.key for one in bundle.kept.prints if not one.removed_by}:
        raise UserError("the bundle was changed by another program; run the command again")
    number = 1 + max((one.number for one in bundle.kept.corrections), default=0)
    correction = Correction(number, turn.recording, said.start, said.end, name, said.name, turn.source)
    removed = [one for one in turn.overlapping if one.name != name]
    added = [one for one in turn.rest if one.name != name]
    if turn.voice is not None and len(removed) == len(turn.overlapping):  # else the profile has the turn
        added.append(KeptPrint(name, turn.voice.voice_print, turn.recording, said.start, said.end, turn.voice.seconds))
    return bundle.changed(corrected(Known(bundle.profiles, bundle.kept), correction, removed, added)), correction


def undo(bundle: Bundle) -> tuple[Bundle, Correction]:
    """Undo the last correction; errors as for `bundle_changes.undone`."""
    known, correction = undone(Known(bundle.profiles, bundle.kept))
    return bundle.changed(known), correction


def named(bundle: Bundle, name: str, new: bool) -> str:
    """Name of a speaker as it is stored; errors as for `correct`."""
    profiles = bundle.profiles
    if new:
        if profiles.stored_name(name) in profiles.names:
            raise UserError(f"{name!r}: is enrolled already; leave out --new (`new=True`) to correct to that speaker")
        profiles.check_new(name)
        return profiles.stored_name(name)
    try:
        return profiles.names[profiles.index(name)]
    except UserError as error:
        raise UserError(f"{error}; --new (`new=True`) enrolls a new speaker") from error


def _at(segments: Sequence[Segment], moment: float, path: Path | None) -> Segment:
    label = f"{path}: " if path else ""
    if not math.isfinite(moment) or moment < 0:
        raise UserError(f"{label}found the moment {moment:g} s, expected seconds from the beginning")
    for segment in segments:
        if segment.start <= moment < segment.end:
            return segment
    near = sorted(segments, key=lambda s: max(s.start - moment, moment - s.end))[:NEAREST]
    turns = ", ".join(f"{clock(s.start)} – {clock(s.end)} ({label_of(s)})" for s in sorted(near, key=lambda s: s.start))
    raise UserError(
        f"{label}no one speaks at {clock(moment)}; "
        + (f"the nearest turns are {turns}" if near else "there is no speech in the recording")
    )


def _voice(encoder: VoiceEncoder, frames: Sequence[NDArray[np.float32]], frames_per_second: float) -> Voice | None:
    if sum(map(len, frames)) < SHORTEST * frames_per_second:
        return None
    most = round(VOICE_SECONDS / STEP_SECONDS)
    some = frames if len(frames) <= most else [frames[index * len(frames) // most] for index in range(most)]
    return replace(encoder.voice(np.concatenate(some)), seconds=sum(map(len, frames)) / frames_per_second)
