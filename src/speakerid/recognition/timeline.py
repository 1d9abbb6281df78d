"""Who speaks when in a recording of any length.

A window slides over the sound. The names that are nearest to the windows compete for it, and a change of name has its
price (Viterbi's algorithm). Only then is every turn heard as a whole, and the bundle's rule for its duration says who
it is, or that it is nobody known: of a turn there is more to hear than of a window.

Letters: N cells, W frames in the window around one, T frames, M mel bands, D width of a voice print, C names.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speakerid.audio.decode import lag, pieces
from speakerid.audio.log_mel import SILENCE_LEVEL, LogMel, Samples, gain_to, stretches_of_sound
from speakerid.audio.resample import resample
from speakerid.errors import UserError
from speakerid.recognition.profiles import RANKED
from speakerid.recognition.recognizer import FALSE_ACCEPTS, Recognizer
from speakerid.recognition.voices import SHORTEST

WINDOW_SECONDS = 1.5
STEP_SECONDS = 0.25
"""Length of a cell, the shortest stretch that is given a name."""
PAUSE_SECONDS = 0.5
"""Silence from which on nobody is said to speak; shorter ones belong to the speech around them."""
WORDS_PAUSE_SECONDS = 1.0
"""Silence between words that are each too short to be named, up to which they are heard together."""
TURN_SECONDS = 20.0
"""Longest stretch that is heard as a whole."""
PIECE_SECONDS = 600.0
"""Of the recording, looked at at a time: bounds the memory."""
SWITCH = 4.0
"""Price of another name, as a logarithm of probabilities. Windows overlap, so they say the same thing several times."""
ROWS = 100
"""Windows compared with everybody at a time: the scores of a hundred thousand speakers are many."""


@dataclass(frozen=True)
class Segment:
    """A stretch in which one person speaks, or somebody unknown."""

    start: float
    """Seconds from the beginning of the recording."""
    end: float
    name: str | None
    """None where it is nobody known."""
    probability: float
    """Of the name, or that it is nobody known."""


@dataclass(frozen=True)
class _Cells:
    """N short stretches of sound that follow one another."""

    starts: list[float]
    """Seconds."""
    ends: list[float]
    frames: list[NDArray[np.float32]]
    """(T, M) of each."""
    windows: list[NDArray[np.float32]]
    """(W, M) of what lies around each."""


def timeline(recognizer: Recognizer, path: str | os.PathLike[str], false_accepts: float | None = None) -> list[Segment]:
    """Who speaks when; where nobody does there is no segment.

    Args:
        recognizer: knows the names.
        path: a recording.
        false_accepts: share of strangers' turns that may be given a name; by default a name is said where it is more
            probable than that it is nobody known.

    Returns:
        Segments in the order of time, which do not overlap. Times are those of the original: what decoding adds at the
        beginning is taken out where it is known, see `speakerid.audio.decode.lag`.

    Raises:
        UserError: the recording cannot be decoded.
    """
    found, began = list[Segment](), 0.0
    try:
        late = lag(Path(path))
        rate = recognizer.bundle.features.sample_rate
        for waveform in pieces(Path(path), PIECE_SECONDS, rate):
            cells = _cells(waveform, rate, recognizer, began)
            began += len(waveform) / rate
            if cells.starts:
                found += _segments(recognizer, cells, false_accepts)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return [replace(s, start=max(0.0, s.start - late), end=s.end - late) for s in merged(found) if s.end > late]


def most_probable_path(log_probabilities: NDArray[np.floating], switch: float) -> NDArray[np.int64]:
    """Viterbi's algorithm, where every change of state has the same price.

    Args:
        log_probabilities: (N, C), up to a constant in every row.
        switch: the price.

    Returns:
        (N,) states with the highest sum of log-probabilities less prices.
    """
    count, states = log_probabilities.shape
    before = np.empty((count, states), np.int64)
    total = log_probabilities[0].astype(np.float64)
    for place in range(1, count):
        best = int(total.argmax())
        stays = total >= total[best] - switch
        before[place] = np.where(stays, np.arange(states), best)
        total = np.where(stays, total, total[best] - switch) + log_probabilities[place]
    path = np.empty(count, np.int64)
    path[-1] = total.argmax()
    for place in range(count - 1, 0, -1):
        path[place - 1] = before[place, path[place]]
    return path


def merged(segments: Iterable[Segment], pause: float = PAUSE_SECONDS) -> list[Segment]:
    """Neighbours of the same name as one, where less than a pause is between them.

    Args:
        segments: in the order of time.
        pause: seconds.
    """
    result: list[Segment] = []
    for segment in segments:
        last = result[-1] if result else None
        if last is None or last.name != segment.name or segment.start - last.end >= pause:
            result.append(segment)
            continue
        one, other = last.end - last.start, segment.end - segment.start
        probability = (one * last.probability + other * segment.probability) / (one + other)
        result[-1] = Segment(last.start, segment.end, last.name, probability)
    return result


def _segments(recognizer: Recognizer, cells: _Cells, false_accepts: float | None) -> list[Segment]:
    """A segment for each cell, with the name of the turn it belongs to."""
    nearest = _nearest_names(recognizer, cells.windows)
    bounds = np.flatnonzero(np.diff(nearest, prepend=-1, append=-1))
    longest = round(TURN_SECONDS / STEP_SECONDS)
    found: list[Segment] = []
    for first, last in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        for start in range(first, last, longest):
            turn = range(start, min(start + longest, last))
            name, probability = _name(recognizer, np.concatenate([cells.frames[c] for c in turn]), false_accepts)
            found += [Segment(cells.starts[c], cells.ends[c], name, probability) for c in turn]
    return found


def _nearest_names(recognizer: Recognizer, windows: Sequence[NDArray[np.float32]]) -> NDArray[np.int64]:
    """(N,) places of those it is most probably, if it is somebody known."""
    profiles, rule = recognizer.bundle.profiles, recognizer.bundle.identification
    prints = recognizer.embed(windows)
    rows = range(0, len(prints), ROWS)
    names = np.unique([place for row in rows for place in profiles.ranked(prints[row : row + ROWS])[0][:, 0]])
    seconds = np.array([len(window) for window in windows]) / recognizer.bundle.features.frames_per_second
    return names[most_probable_path(rule.scale_at(seconds)[:, None] * profiles.scores(prints, names), SWITCH)]


def _name(recognizer: Recognizer, frames: NDArray[np.float32], false_accepts: float | None) -> tuple[str | None, float]:
    """Who speaks in the (T, M) frames of one turn, or None, and how probable that is."""
    answer = recognizer.answer(
        recognizer.voice(frames), FALSE_ACCEPTS if false_accepts is None else false_accepts, RANKED
    )
    name, probability = answer.ranking[0]
    nobody = max(0.0, 1 - sum(p for _, p in answer.ranking))
    known = probability >= nobody if false_accepts is None else answer.name is not None
    return (name, probability) if known else (None, nobody)


def _cells(waveform: Samples, sample_rate: int, recognizer: Recognizer, began: float) -> _Cells:
    """The (N,) samples of a piece that begins after so many seconds, cut at pauses and then into cells."""
    features = recognizer.bundle.features
    log_mel = LogMel(features).with_pauses()  # those that count have been cut by then
    waveform = resample(waveform, sample_rate, features.sample_rate)
    cells = _Cells([], [], [], [])
    for stretches in _speech(waveform, features.sample_rate, features.level):
        sound = np.concatenate([waveform[stretch] for stretch in stretches])
        count = max(1, round(len(sound) / features.sample_rate / STEP_SECONDS))
        edges = np.linspace(0, len(sound), count + 1).round().astype(np.int64)
        starts, ends = _places(stretches, edges)
        cells.starts.extend((began + starts / features.sample_rate).tolist())
        cells.ends.extend((began + ends / features.sample_rate).tolist())
        frames = log_mel(sound, features.sample_rate)
        bounds = edges * len(frames) // len(sound)
        cells.frames.extend(np.split(frames, bounds[1:-1]))
        width = min(len(frames), round(WINDOW_SECONDS * features.frames_per_second))
        middles = (bounds[:-1] + bounds[1:]) // 2
        windows = np.clip(middles - width // 2, 0, len(frames) - width)
        cells.windows.extend(frames[first : first + width] for first in windows.tolist())
    return cells


def _speech(waveform: Samples, sample_rate: int, level: float) -> list[list[slice]]:
    """Stretches of sound, those together between which there is no pause; less than anybody is named by is left out."""
    shortest = SHORTEST * sample_rate
    sound = stretches_of_sound(waveform, sample_rate, SILENCE_LEVEL / gain_to(waveform, level))
    speech: list[list[slice]] = []
    turns = _joined(([s] for s in sound if s.start < s.stop), PAUSE_SECONDS * sample_rate)
    for short, some in itertools.groupby(turns, lambda turn: _samples(turn) < shortest):
        speech += _joined(some, WORDS_PAUSE_SECONDS * sample_rate if short else 0)
    return [turn for turn in speech if _samples(turn) >= shortest]


def _joined(turns: Iterable[list[slice]], pause: float) -> list[list[slice]]:
    """Neighbors as one where less than a pause is between them, in samples."""
    joined: list[list[slice]] = []
    for turn in turns:
        if joined and turn[0].start - joined[-1][-1].stop < pause:
            joined[-1] += turn
        else:
            joined.append(turn)
    return joined


def _samples(stretches: Sequence[slice]) -> int:
    return sum(stretch.stop - stretch.start for stretch in stretches)


def _places(stretches: Sequence[slice], edges: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where cells begin and end in the waveform, whose edges are places in the stretches laid behind one another."""
    lengths = np.array([stretch.stop - stretch.start for stretch in stretches])
    before = np.cumsum(lengths) - lengths
    shifts = np.array([stretch.start for stretch in stretches]) - before
    # An edge between two stretches is the end of the one for the cell before, and the beginning of the other.
    starts = edges[:-1] + shifts[np.searchsorted(before, edges[:-1], "right") - 1]
    ends = edges[1:] + shifts[np.searchsorted(before, edges[1:], "left") - 1]
    return starts, ends
