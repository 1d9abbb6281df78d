"""Enroll a stranger of a timeline, or the speaker of turns whose times are known."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from speakerid.base.errors import UserError
from speakerid.base.printing import counted, listed
from speakerid.recognition.bundle import Bundle
from speakerid.recognition.bundle_changes import Known, enrolled
from speakerid.recognition.corrections import Span, voices_and_digest, voices_in
from speakerid.recognition.enrollment import Enrollment, doubts
from speakerid.recognition.identification import check_encoder, clearly_apart
from speakerid.recognition.kept_prints import KeptPrint, mean_of
from speakerid.recognition.results import Segment, Voice
from speakerid.recognition.stranger_groups import groups_of
from speakerid.recognition.timeline import segments_of, speech_in
from speakerid.recognition.timeline_labels import clock
from speakerid.recognition.voice_encoder import SHORTEST, VoiceEncoder
from speakerid.recognition.waveforms import Recording, path_of

COMPARED_SECONDS = 2.0
"""Shortest turn that is compared with the others; voice prints of shorter ones are too uncertain."""
VOICE_SECONDS = 5.0
"""Least sound of a voice among the turns, as in `speakerid.recognition.turn_names`."""
_LABEL = re.compile(r"(?:stranger[ _]?)?([0-9]{1,9})", re.IGNORECASE)


@dataclass(frozen=True)
class Stranger:
    """Turns of a stranger in one recording."""

    turns: Sequence[KeptPrint]
    """Voice print of each turn of at least `SHORTEST`, without a name."""
    voice: Voice
    """All of them as one voice."""


def number_of(label: str | int) -> int:
    """Number of a stranger, from a label such as `stranger 1`, `stranger_1` or 1.

    Raises:
        UserError: the label is not one of these.
    """
    found = _LABEL.fullmatch(str(label).strip())
    if found is None or int(found[1]) < 1:
        raise UserError(f"speaker: found {label!r:.60}, expected a stranger of the timeline, such as 'stranger 1'")
    return int(found[1])


def stranger_in(
    bundle: Bundle,
    encoder: VoiceEncoder,
    recordings: Sequence[Recording],
    number: int,
    sample_rate: int | None = None,
    false_accepts: float | None = None,
) -> list[Stranger]:
    """Find the turns of a stranger, by the number in the timelines of the same recordings.

    Args:
        bundle, encoder, sample_rate, false_accepts: see `speakerid.recognition.timeline.timeline`.
        recordings: all recordings of these timelines, in the same order.
        number: number of the stranger.

    Returns:
        The stranger's turns in each recording that has any.

    Raises:
        UserError: no stranger has this number, there is too little sound, or a recording cannot be read.
    """
    speech = [speech_in(bundle, encoder, one, sample_rate, false_accepts) for one in recordings]
    timelines = segments_of(bundle, speech, false_accepts)
    found = list[Stranger]()
    for recording, one, segments in zip(recordings, speech, timelines, strict=True):
        if spans := [(s.start, s.end) for s in segments if s.stranger == number]:
            voices = voices_in(bundle, encoder, recording, sample_rate, spans, one.digest)
            found += _stranger(spans, voices, one.digest, str(path_of(recording) or ""))
    if not found:
        raise UserError(_missing(number, [s for segments in timelines for s in segments]))
    return found


def speaker_in(
    bundle: Bundle, encoder: VoiceEncoder, recording: Recording, spans: Sequence[Span], sample_rate: int | None = None
) -> list[Stranger]:
    """Turns of one speaker in a recording, by their times.

    Args:
        bundle, encoder, recording, sample_rate: see `speakerid.recognition.timeline.timeline`.
        spans: start and end of each turn in seconds; no one else speaks in them.

    Raises:
        UserError: there is too little sound in the turns, or the recording cannot be read.
    """
    voices, digest = voices_and_digest(bundle, encoder, recording, sample_rate, spans)
    found = _stranger(spans, voices, digest, str(path_of(recording) or ""))
    if not found:
        raise UserError(
            f"{path_of(recording) or 'recording'}: found no turn with {SHORTEST:g} s of sound or more among "
            f"{counted(len(spans), 'turn')}, too little to enroll"
        )
    return found


def enroll_stranger(bundle: Bundle, name: str, found: Sequence[Stranger], add: bool) -> tuple[Bundle, Enrollment]:
    """Enroll a stranger; see `Recognizer.enroll_stranger`.

    Args:
        bundle: remains unchanged.
        name: name of the speaker.
        found: the stranger's turns.
        add: add to an existing speaker.

    Raises:
        OtherEncoder: the turns were embedded by another encoder than the bundle's.
        UserError: see `Bundle.enrolled`.
    """
    check_encoder(bundle, [one.voice for one in found])
    name = bundle.profiles.names[bundle.profiles.index(name)] if add else name
    mine = bundle.kept.active(name)
    prints = [
        replace(turn, name=name)
        for one in found
        for turn in one.turns
        if not any(kept.overlaps(turn.recording, turn.start, turn.end) for kept in mine)
    ]
    warnings, skipped = list[str](), [f"these turns are {name!r}'s already; they count once"]
    if prints:
        warnings, skipped = [*doubts(bundle, name, [one.voice for one in found]), *_turn_doubts(bundle, found)], []
        bundle = bundle.changed(enrolled(Known(bundle.profiles, bundle.kept), prints, (), add))
    clips = bundle.profiles.clips[bundle.profiles.index(name)]
    added = len({turn.recording for turn in prints})
    return bundle, Enrollment(name, added, clips, tuple(skipped), tuple(warnings))


def _turn_doubts(bundle: Bundle, found: Sequence[Stranger]) -> list[str]:
    """A warning for each recording whose turns are clearly of several voices."""
    warnings = list[str]()
    for stranger in found if bundle.verification is not None else ():
        groups = _large_groups(bundle, [turn for turn in stranger.turns if turn.seconds >= COMPARED_SECONDS])
        if clearly_apart(bundle, [_voice_of(group, stranger.voice.encoder) for group in groups]):
            times = listed([f"{clock(turn.start)} – {clock(turn.end)}" for turn in min(groups, key=len)])
            warnings.append(
                f"{stranger.voice.source or 'recording'}: the turns at {times} do not sound like the speaker of the "
                "others; forget the name and enroll the right turns: --transcript FILE --speaker LABEL"
            )
    return warnings


def _large_groups(bundle: Bundle, turns: Sequence[KeptPrint]) -> list[list[KeptPrint]]:
    """Turns by voice, without voices of less than `VOICE_SECONDS`."""
    if not turns:
        return []
    prints, seconds = np.stack([turn.voice_print for turn in turns]), np.array([turn.seconds for turn in turns])
    groups: dict[int, list[KeptPrint]] = {}
    for turn, group in zip(turns, groups_of(prints, seconds, bundle.profiles.plda, bundle.verification), strict=True):
        groups.setdefault(int(group), []).append(turn)
    return [mine for mine in groups.values() if sum(turn.seconds for turn in mine) >= VOICE_SECONDS]


def _voice_of(turns: Sequence[KeptPrint], encoder: str, source: str = "") -> Voice:
    """Turns of one speaker as one voice."""
    return Voice(sum(turn.seconds for turn in turns), mean_of(turns), encoder, source=source)


def _stranger(spans: Sequence[Span], voices: Sequence[Voice | None], recording: int, source: str) -> list[Stranger]:
    """The stranger with these turns, or an empty list if all are too short."""
    pairs = [(span, voice) for span, voice in zip(spans, voices, strict=True) if voice is not None]
    if not pairs:
        return []
    turns = [KeptPrint("", voice.voice_print, recording, *span, voice.seconds) for span, voice in pairs]
    return [Stranger(turns, _voice_of(turns, pairs[0][1].encoder, source))]


def _missing(number: int, segments: Sequence[Segment]) -> str:
    numbers = sorted({s.stranger for s in segments if s.stranger is not None})
    if number in numbers:
        return f"stranger {number}: has no turn of {SHORTEST:g} s or more, too little to enroll"
    there = ", ".join(f"stranger {one}" for one in numbers) or "no strangers"
    return f"stranger {number}: not in the timelines of these recordings, which have {there}"
