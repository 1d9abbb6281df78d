"""Recordings put together to conversations, and how much of them a timeline names rightly."""

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speakerid.audio.decode import decode, write_wav
from speakerid.audio.log_mel import Samples, trim
from speakerid.config import FeatureConfig
from speakerid.corpus.recordings import Recording
from speakerid.errors import UserError
from speakerid.recognition.recognizer import Recognizer
from speakerid.recognition.timeline import timeline

MEMBERS = 4
"""Of a conversation."""
STRANGERS = 1
"""Of them, where there are any."""
TURNS = 40
LONGEST = 3
"""Recordings that one turn is made of at most."""
PAUSE = 1.0
"""Seconds of silence between two turns at most."""
GRID = 0.01
"""Seconds: at each of these moments the name that was said is held against the right one."""

RIGHT, SOMEBODY, UNKNOWN, NOBODY = SAID = "right name", "another name", "unknown", "nobody"
"""What a timeline may say."""


@dataclass(frozen=True)
class Conversation:
    """Sound in which people take turns, and never speak at once."""

    waveform: Samples
    sample_rate: int
    turns: list[tuple[float, float, str]]
    """Start and end in seconds, and who speaks."""


def conversation(
    known: Sequence[Recording], strangers: Sequence[Recording], features: FeatureConfig, number: int
) -> Conversation:
    """A conversation of people who are drawn, each in recordings that are drawn; all equally loud, their pauses cut.

    Args:
        known: recordings of people the bundle knows.
        strangers: of others, or none.
        features: sample rate, level, and what a pause is.
        number: another one, another conversation.

    Raises:
        UserError: recordings of too few people.
    """
    rng = np.random.default_rng(number)
    guests = STRANGERS if strangers else 0
    members = [*_drawn(known, MEMBERS - guests, rng), *_drawn(strangers, guests, rng)]
    sound, turns, now, last = list[Samples](), list[tuple[float, float, str]](), 0.0, -1
    for _ in range(TURNS):
        last = int(rng.choice([place for place in range(len(members)) if place != last]))
        spoken = [members[last][place] for place in rng.integers(len(members[last]), size=rng.integers(1, LONGEST + 1))]
        heard = np.concatenate([_heard(recording, features) for recording in spoken])
        silence = np.zeros(int(rng.uniform(0, PAUSE) * features.sample_rate), np.float32)
        sound += [heard, silence]
        turns.append((now, now + len(heard) / features.sample_rate, spoken[0].speaker))
        now += (len(heard) + len(silence)) / features.sample_rate
    return Conversation(np.concatenate(sound), features.sample_rate, turns)


def shares(recognizer: Recognizer, talk: Conversation, false_accepts: float | None) -> dict[bool, Counter[str]]:
    """What a timeline says, and at how many moments, while somebody known speaks (True) and while a stranger does."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "talk.wav"
        write_wav(path, talk.waveform, talk.sample_rate)
        segments = timeline(recognizer, path, false_accepts)
    moments = np.arange(0, talk.turns[-1][1], GRID)
    said = _at(moments, [(s.start, s.end, UNKNOWN if s.name is None else s.name) for s in segments])
    shares: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for name, answer in zip(_at(moments, talk.turns), said, strict=True):
        if name != NOBODY:
            said_so = RIGHT if answer == name else answer if answer in (NOBODY, UNKNOWN) else SOMEBODY
            shares[name in recognizer.bundle.profiles.names][said_so] += 1
    return shares


def _at(moments: NDArray[np.float64], stretches: Sequence[tuple[float, float, str]]) -> Iterator[str]:
    """What holds at each moment, of stretches in the order of time."""
    places = np.searchsorted([start for start, _, _ in stretches], moments, "right") - 1
    for moment, place in zip(moments, places, strict=True):
        yield stretches[place][2] if place >= 0 and moment < stretches[place][1] else NOBODY


def _drawn(recordings: Sequence[Recording], count: int, rng: np.random.Generator) -> list[list[Recording]]:
    """All recordings of each of so many people."""
    people = sorted({one.speaker for one in recordings})
    if len(people) < count:
        raise UserError(f"a conversation needs {count} people, found recordings of {len(people)}")
    drawn = rng.permutation(people)[:count]
    return [[one for one in recordings if one.speaker == speaker] for speaker in drawn]


def _heard(recording: Recording, features: FeatureConfig) -> Samples:
    sound = decode(recording.path, recording.start, recording.end)
    return trim(sound.waveform, sound.sample_rate, features)
