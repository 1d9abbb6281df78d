"""Name the speakers of a transcript by its recording: all turns of a label together, or turn by turn.

The thresholds of a bundle depend on the duration, so a label is named by all of its speech as one voice. A diarizer may
have given one label to two people. Therefore the parts of its turns are compared by the bundle's rule for pairs, and a
label whose parts are clearly of several voices is divided into these, each of which is named on its own.

Shapes: T frames, M mel bands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speakerid.annotations.turns import Turn
from speakerid.recognition import FALSE_ACCEPTS
from speakerid.recognition.identification import clearly_apart
from speakerid.recognition.recognizer import Recognizer
from speakerid.recognition.results import Answer, Voice
from speakerid.recognition.stranger_groups import groups_of
from speakerid.recognition.timeline import VOICE_SECONDS
from speakerid.recognition.timeline_cells import STEP_SECONDS
from speakerid.recognition.turn_frames import Part, parts_of
from speakerid.recognition.voice_encoder import SHORTEST

COMPARED_SECONDS = 1.0
"""Shortest part that is compared with others."""
VOICE_SHARE, VOICE_LEAST = 0.1, 5.0
"""Share and seconds of a label's speech that make a voice of its own."""


@dataclass(frozen=True)
class NamedVoice:
    """A voice in a transcript, and who it is."""

    label: str | None
    """Label of its turns; None if the transcript has none."""
    seconds: float
    """Duration of its speech without pauses and without what others speak over."""
    answer: Answer | None
    """Who it is; None if there is too little speech."""
    spans: tuple[tuple[float, float], ...]
    """Start and end in seconds of its parts if it is one of several in its label; empty if it is all of the label."""
    turn: int | None = None
    """Index of its only turn, if every turn is named on its own."""

    @property
    def name(self) -> str | None:
        """Name of the speaker; None if unknown."""
        return self.answer.name if self.answer else None


def name_voices(
    recognizer: Recognizer,
    recording: Path,
    turns: Sequence[Turn],
    false_accepts: float = FALSE_ACCEPTS,
    each_turn: bool = False,
    advance: Callable[[], None] = lambda: None,
) -> list[NamedVoice]:
    """Name the voices of a transcript.

    Args:
        recognizer: knows the speakers.
        recording: file of the recording.
        turns: turns of the transcript.
        false_accepts: share of strangers that may be given a name.
        each_turn: name every turn on its own, whatever its label.
        advance: called once for every turn.

    Returns:
        One voice for each label in the order of their first turns, or several for a label of several people; with
        `each_turn`, one for each turn.

    Raises:
        UserError: the recording cannot be decoded, or a turn begins after its end.
    """
    parts = parts_of(recording, turns, recognizer.bundle.frontend(), advance)
    if each_turn:
        return [
            _named(recognizer, turn.speaker, [one for one in parts if one.turn == index], false_accepts, turn=index)
            for index, turn in enumerate(turns)
        ]
    found: list[NamedVoice] = []
    for label in dict.fromkeys(turn.speaker for turn in turns if turn.speaker is not None):
        mine = [part for part in parts if turns[part.turn].speaker == label]
        voices = _divided(recognizer, mine)
        found += [_named(recognizer, label, some, false_accepts, divided=len(voices) > 1) for some in voices]
    return found


def _named(
    recognizer: Recognizer,
    label: str | None,
    parts: Sequence[Part],
    false_accepts: float,
    divided: bool = False,
    turn: int | None = None,
) -> NamedVoice:
    seconds = _seconds(recognizer, parts)
    answer = recognizer.answer(_voice(recognizer, parts), false_accepts) if seconds >= SHORTEST else None
    spans = tuple((part.start, part.end) for part in parts) if divided else ()
    return NamedVoice(label, seconds, answer, spans, turn)


def _seconds(recognizer: Recognizer, parts: Sequence[Part]) -> float:
    return sum(len(part.frames) for part in parts) / recognizer.bundle.features.frames_per_second


def _voice(recognizer: Recognizer, parts: Sequence[Part]) -> Voice:
    """The voice in all parts, or in evenly spaced cells of them if they are long."""
    frames = np.concatenate([part.frames for part in parts])
    per_second = recognizer.bundle.features.frames_per_second
    if len(frames) > VOICE_SECONDS * per_second:
        cell, most = round(STEP_SECONDS * per_second), round(VOICE_SECONDS / STEP_SECONDS)
        cells = frames[: len(frames) // cell * cell].reshape(-1, cell, frames.shape[1])
        frames = cells[np.arange(most) * len(cells) // most].reshape(-1, frames.shape[1])
    return recognizer.voice(frames)


def _divided(recognizer: Recognizer, parts: Sequence[Part]) -> list[list[Part]]:
    """Parts of a label by voice: all in one list, unless they are clearly of several voices.

    Parts of no such voice, short ones among them, are then in no list, so they keep their label.
    """
    least = COMPARED_SECONDS * recognizer.bundle.features.frames_per_second
    compared = [part for part in parts if len(part.frames) >= least]
    if len(compared) < 2 or recognizer.bundle.verification is None:
        return [list(parts)]
    groups = _groups(recognizer, compared)
    enough = max(VOICE_LEAST, VOICE_SHARE * _seconds(recognizer, parts))
    voices = [[part for part, group in zip(compared, groups, strict=True) if group == one] for one in set(groups)]
    voices = sorted((some for some in voices if _seconds(recognizer, some) >= enough), key=lambda some: some[0].start)
    if len(voices) < 2:
        return [list(parts)]
    apart = clearly_apart(recognizer.bundle, [_voice(recognizer, some) for some in voices])
    return voices if apart else [list(parts)]


def _groups(recognizer: Recognizer, parts: Sequence[Part]) -> list[int]:
    prints = recognizer.embed_features([part.frames for part in parts])
    seconds: NDArray[np.float64] = np.array([_seconds(recognizer, [part]) for part in parts])
    bundle = recognizer.bundle
    return groups_of(prints, seconds, bundle.profiles.plda, bundle.verification).tolist()
