"""Cut a recording at pauses, and speech into cells, the shortest segments that are given a name.

Shapes: N cells, W frames in the window around one, T frames, M mel bands.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speakerid.audio.frontends import Frontend
from speakerid.audio.log_mel import SILENCE_LEVEL, Samples, gain_to, sound_segments
from speakerid.recognition.voice_encoder import SHORTEST

WINDOW_SECONDS = 1.5
STEP_SECONDS = 0.25
"""Length of a cell."""
PAUSE_SECONDS = 0.5
"""Shortest pause; shorter silences belong to the speech around them."""
WORDS_PAUSE_SECONDS = 1.0
"""Longest silence between words that are each too short to be identified, for which they are joined."""


@dataclass(frozen=True)
class Cells:
    """N consecutive short pieces of sound."""

    starts: list[float]
    """Seconds."""
    ends: list[float]
    frames: list[NDArray[np.float32]]
    """(T, M) features of each."""
    windows: list[NDArray[np.float32]]
    """(W, M) features around each."""
    frames_per_second: float

    def seconds(self, chosen: NDArray[np.bool_]) -> float:
        """Duration in seconds of the chosen (N,) cells, without the pauses in them."""
        return sum(len(self.frames[row]) for row in np.flatnonzero(chosen).tolist()) / self.frames_per_second

    def frames_of(self, chosen: NDArray[np.bool_], seconds: float) -> NDArray[np.float32]:
        """(T, M) frames of the chosen (N,) cells, of evenly spaced ones if they last longer than `seconds`."""
        rows = np.flatnonzero(chosen)
        most = round(seconds / STEP_SECONDS)
        some = rows if len(rows) <= most else rows[np.arange(most) * len(rows) // most]
        return np.concatenate([self.frames[row] for row in some.tolist()])


def cells_of(waveform: Samples, frontend: Frontend, began: float) -> Cells:
    """Cut the (N,) samples of a piece that begins at `began` seconds at pauses, and then into cells."""
    features, frames_of = frontend.features, frontend.without_trimming()  # silence has been cut
    cells = Cells([], [], [], [], features.frames_per_second)
    for stretches in _speech(waveform, features.sample_rate, features.level):
        sound = np.concatenate([waveform[stretch] for stretch in stretches])
        count = max(1, round(len(sound) / features.sample_rate / STEP_SECONDS))
        edges = np.linspace(0, len(sound), count + 1).round().astype(np.int64)
        starts, ends = _cell_edges(stretches, edges)
        cells.starts.extend((began + starts / features.sample_rate).tolist())
        cells.ends.extend((began + ends / features.sample_rate).tolist())
        frames = frames_of(sound, features.sample_rate)
        bounds = edges * len(frames) // len(sound)
        cells.frames.extend(np.split(frames, bounds[1:-1]))
        width = min(len(frames), round(WINDOW_SECONDS * features.frames_per_second))
        middles = (bounds[:-1] + bounds[1:]) // 2
        windows = np.clip(middles - width // 2, 0, len(frames) - width)
        cells.windows.extend(frames[first : first + width] for first in windows.tolist())
    return cells


def _speech(waveform: Samples, sample_rate: int, level: float) -> list[list[slice]]:
    """Pieces of sound, grouped where there is no pause between them; groups too short for a name are left out."""
    shortest = SHORTEST * sample_rate
    sound = sound_segments(waveform, sample_rate, SILENCE_LEVEL / gain_to(waveform, level))
    speech: list[list[slice]] = []
    turns = _joined(([s] for s in sound if s.start < s.stop), PAUSE_SECONDS * sample_rate)
    for short, some in itertools.groupby(turns, lambda turn: _samples(turn) < shortest):
        speech += _joined(some, WORDS_PAUSE_SECONDS * sample_rate if short else 0)
    return [turn for turn in speech if _samples(turn) >= shortest]


def _joined(turns: Iterable[list[slice]], pause: float) -> list[list[slice]]:
    """Join consecutive groups with less than a pause between them, in samples."""
    joined: list[list[slice]] = []
    for turn in turns:
        if joined and turn[0].start - joined[-1][-1].stop < pause:
            joined[-1] += turn
        else:
            joined.append(turn)
    return joined


def _samples(stretches: Sequence[slice]) -> int:
    return sum(stretch.stop - stretch.start for stretch in stretches)


def _cell_edges(stretches: Sequence[slice], edges: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Beginnings and ends of cells in the waveform; `edges` are positions in the concatenated pieces of sound."""
    lengths = np.array([stretch.stop - stretch.start for stretch in stretches])
    before = np.cumsum(lengths) - lengths
    shifts = np.array([stretch.start for stretch in stretches]) - before
    # An edge between two pieces is the end of one for the cell before, and the beginning of the other.
    starts = edges[:-1] + shifts[np.searchsorted(before, edges[:-1], "right") - 1]
    ends = edges[1:] + shifts[np.searchsorted(before, edges[1:], "left") - 1]
    return starts, ends
