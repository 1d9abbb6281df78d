"""Speech of one person each, cut from the turns of a recording: without overlaps, joined and cut to a length.

Times are whole milliseconds, so that no length is exceeded by rounding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from speakerid.annotations.turns import Turn

LONGEST = 10.0
"""Seconds up to which turns of one speaker are joined, and at which longer ones are cut."""
PAUSE = 1.0
"""Longest pause in seconds between turns that are joined."""
SHORTEST = 1.0
"""Seconds below which speech is left out: times of such turns are rarely exact, and they tell little of a voice."""


class Utterance(NamedTuple):
    """Time in which one person speaks and no one else, in seconds; pauses are included."""

    start: float
    end: float
    speaker: str


@dataclass
class Spoken:
    """Utterances of a recording, and the seconds that are left out.

    Attributes:
        utterances: in order of time.
        annotated: seconds of every speaker in the turns; where several speak, it counts for each.
        used: seconds of every speaker in the utterances, without the pauses between joined turns.
        overlapping: seconds in which several people speak.
        unnamed: seconds of turns without a speaker.
        outside: seconds of speech outside the annotated regions.
        short: seconds of speech in parts that are too short.
    """

    utterances: list[Utterance] = field(default_factory=list)
    annotated: dict[str, float] = field(default_factory=dict)
    used: dict[str, float] = field(default_factory=dict)
    overlapping: float = 0.0
    unnamed: float = 0.0
    outside: float = 0.0
    short: float = 0.0


class _Piece(NamedTuple):
    """Milliseconds between two changes of speakers."""

    start: int
    end: int
    speakers: tuple[str | None, ...]
    inside: bool


def utterances_in(
    turns: Sequence[Turn],
    regions: Sequence[tuple[float, float]] | None = None,
    longest: float = LONGEST,
    shortest: float = SHORTEST,
) -> Spoken:
    """Cut turns into utterances.

    Args:
        turns: of one recording and channel, in any order; they may overlap.
        regions: annotated parts of the recording, in seconds; by default all of it.
        longest: length in seconds of the longest utterance.
        shortest: seconds of speech below which a part is left out.
    """
    spoken = Spoken()
    for turn in turns:
        if turn.speaker is not None:
            spoken.annotated[turn.speaker] = spoken.annotated.get(turn.speaker, 0.0) + turn.end - turn.start
    for speaker, pieces in _runs(_pieces(turns, regions), spoken):
        for start, end, sound in _packed(pieces, round(1000 * longest)):
            if sound < 1000 * shortest:
                spoken.short += sound / 1000
            else:
                spoken.used[speaker] = spoken.used.get(speaker, 0.0) + sound / 1000
                spoken.utterances.append(Utterance(start / 1000, end / 1000, speaker))
    spoken.utterances.sort()
    return spoken


def _pieces(turns: Sequence[Turn], regions: Sequence[tuple[float, float]] | None) -> Iterator[_Piece]:
    """Cut time wherever a turn or a region begins or ends."""
    spans = [(turn.start, turn.end, (turn.speaker,)) for turn in turns]
    spans += [(start, end, ()) for start, end in regions or ()]  # a region has no speakers
    changes = [(round(1000 * start), 1, who) for start, _, who in spans]
    changes += [(round(1000 * end), -1, who) for _, end, who in spans]
    changes.sort(key=lambda change: change[0])
    active = Counter[tuple[str | None, ...]]()
    for (time, step, who), (following, _, _) in pairwise([*changes, (0, 0, ())]):
        active[who] += step
        if following > time:
            speakers = tuple(one for who, count in active.items() if count for one in who)
            yield _Piece(time, following, speakers, regions is None or active[()] > 0)


def _runs(pieces: Iterable[_Piece], spoken: Spoken) -> Iterator[tuple[str, list[tuple[int, int]]]]:
    """Speech of one speaker with short pauses, in which no one else speaks; adds what is left out to `spoken`."""
    who, run = "", list[tuple[int, int]]()
    for piece in pieces:
        speaker = piece.speakers[0] if len(piece.speakers) == 1 and piece.inside else None
        pause = not piece.speakers and piece.inside and piece.end - piece.start <= 1000 * PAUSE
        if run and not pause and speaker != who:
            yield who, run
            run = []
        if speaker is not None:
            who = speaker
            if run and run[-1][1] == piece.start:
                run[-1] = run[-1][0], piece.end
            else:
                run.append((piece.start, piece.end))
        elif piece.speakers:
            _leave_out(piece, spoken)
    if run:
        yield who, run


def _leave_out(piece: _Piece, spoken: Spoken) -> None:
    seconds = (piece.end - piece.start) / 1000
    if not piece.inside:
        spoken.outside += seconds
    elif len(piece.speakers) > 1:
        spoken.overlapping += seconds
    else:
        spoken.unnamed += seconds


def _packed(run: Sequence[tuple[int, int]], longest: int) -> Iterator[tuple[int, int, int]]:
    """Start, end and milliseconds of sound of utterances: short parts are joined, and long ones cut evenly."""
    joined: list[tuple[int, int]] = []
    for start, end in run:
        if joined and end - joined[0][0] > longest:
            yield _whole(joined)
            joined = []
        if end - start <= longest:
            joined.append((start, end))
            continue
        count = -(-(end - start) // longest)
        edges = [start + (end - start) * index // count for index in range(count + 1)]
        yield from ((first, last, last - first) for first, last in pairwise(edges))
    if joined:
        yield _whole(joined)


def _whole(parts: Sequence[tuple[int, int]]) -> tuple[int, int, int]:
    return parts[0][0], parts[-1][1], sum(end - start for start, end in parts)
