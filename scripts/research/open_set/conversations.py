"""Combine recordings into conversations, and measure how well a timeline labels them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from speakerid import FeatureConfig, Segment, UserError, decode
from speakerid.audio.log_mel import Samples, trim
from speakerid.audio.occasion import Occasion, generator
from speakerid.preparation.sources.recordings import Recording

MEMBERS = 4
"""Number of people in a conversation."""
STRANGERS = 1
"""Number of strangers among them, if there are any."""
TURNS = 40
LONGEST = 3
"""Largest number of recordings in a turn."""
PAUSE = 1.0
"""Longest silence between two turns, in seconds."""

RIGHT, ANOTHER, UNKNOWN, MISSED = SAID = "right name", "another name", "unknown", "missed"
"""Outcomes for a piece of speech; speech without a segment is missed."""
KNOWN, STRANGER, SILENCE = "known speakers", "strangers", "silence"
"""Kinds of speakers."""

Turn = tuple[float, float, str]
"""Start and end in seconds, and the speaker."""


@dataclass(frozen=True)
class Conversation:
    """Sound of people who take turns without overlap."""

    waveform: Samples
    sample_rate: int
    turns: list[Turn]


def conversation(
    known: Sequence[Recording],
    strangers: Sequence[Recording],
    features: FeatureConfig,
    number: int,
    simulated: bool = True,
    people: int = MEMBERS,
    guests: int = STRANGERS,
    turns: int | None = None,
) -> Conversation:
    """Make a conversation of random people, each in recordings of one session without pauses, at equal levels.

    Args:
        known: recordings of people the bundle knows.
        strangers: recordings of others, or none.
        features: sample rate, level, and definition of pauses.
        number: seed of the conversation.
        simulated: pass the whole conversation through one simulated occasion, see `speakerid.audio.occasion`.
        people: number of people, at least 2.
        guests: number of strangers among them, if there are any.
        turns: number of turns; by default `TURNS`.

    Raises:
        UserError: there are recordings of too few people.
    """
    rng = np.random.default_rng(number)
    guests = guests if strangers else 0
    members = [*_drawn(known, people - guests, rng), *_drawn(strangers, guests, rng)]
    sound, spoken_turns, now, last = list[Samples](), list[Turn](), 0.0, -1
    for _ in range(turns or TURNS):
        last = int(rng.choice([index for index in range(len(members)) if index != last]))
        spoken = [members[last][index] for index in rng.integers(len(members[last]), size=rng.integers(1, LONGEST + 1))]
        speech = np.concatenate([_speech(recording, features) for recording in spoken])
        silence = np.zeros(int(rng.uniform(0, PAUSE) * features.sample_rate), np.float32)
        sound += [speech, silence]
        spoken_turns.append((now, now + len(speech) / features.sample_rate, spoken[0].speaker))
        now += (len(speech) + len(silence)) / features.sample_rate
    waveform, rate = np.concatenate(sound), features.sample_rate
    if simulated:
        occasion = generator(number, "occasion")
        waveform, rate = Occasion.draw(occasion).record(waveform, rate, occasion)
    return Conversation(waveform, rate, spoken_turns)


def seconds(turns: Sequence[Turn], segments: Sequence[Segment], names: Sequence[str]) -> dict[str, Counter[str]]:
    """Duration in seconds of each outcome while a known speaker, a stranger, or no one speaks.

    Args:
        turns: true turns in temporal order, without overlap.
        segments: segments of the timeline in temporal order, without overlap.
        names: names of the known speakers.
    """
    said = [(s.start, s.end, UNKNOWN if s.name is None else s.name) for s in segments]
    edges = np.unique([time for start, end, _ in (*turns, *said) for time in (start, end)])
    found = {KNOWN: Counter[str](), STRANGER: Counter[str](), SILENCE: Counter[str]()}
    for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        speaker, answer = (_at((start + end) / 2, stretches) for stretches in (turns, said))
        who = SILENCE if speaker is None else KNOWN if speaker in names else STRANGER
        what = MISSED if answer is None else answer if answer == UNKNOWN else RIGHT if answer == speaker else ANOTHER
        found[who][what] += end - start
    return found


def _at(moment: float, stretches: Sequence[Turn]) -> str | None:
    """Name at a moment; None if there is none."""
    return next((name for start, end, name in stretches if start <= moment < end), None)


def _drawn(recordings: Sequence[Recording], count: int, rng: np.random.Generator) -> list[list[Recording]]:
    """Recordings of one session of each of some random speakers."""
    people = sorted({one.speaker for one in recordings})
    if len(people) < count:
        raise UserError(f"a conversation needs {count} people, found recordings of {len(people)}")
    drawn = []
    for speaker in rng.permutation(people)[:count]:
        sessions = sorted({one.session or "" for one in recordings if one.speaker == speaker})
        session = sessions[rng.integers(len(sessions))] if len(sessions) > 1 else sessions[0]
        drawn.append([one for one in recordings if (one.speaker, one.session or "") == (speaker, session)])
    return drawn


def _speech(recording: Recording, features: FeatureConfig) -> Samples:
    sound = decode(recording.path, recording.start, recording.end, channel=recording.channel)
    return trim(sound.waveform, sound.sample_rate, features)
