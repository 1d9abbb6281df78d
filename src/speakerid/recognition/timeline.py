"""Find out who speaks when in a recording of any length.

A window slides over the sound, and windows of one voice are clustered (`speakerid.recognition.diarization`). Then the
bundle's rule for the total duration of each voice says who it is, or that it is a stranger: a whole voice is easier to
identify than a window.

Shapes: N cells, W frames in the window around one, T frames, M mel bands, D width of a voice print.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from speakerid.audio.decode import lag, pieces
from speakerid.audio.log_mel import SILENCE_LEVEL, LogMel, Samples, gain_to, sound_segments
from speakerid.audio.resample import resample
from speakerid.base.errors import UserError
from speakerid.config import FeatureConfig
from speakerid.recognition import FALSE_ACCEPTS
from speakerid.recognition.bundle import Bundle
from speakerid.recognition.diarization import clusters_of
from speakerid.recognition.identification import answer
from speakerid.recognition.profiles import RANKED
from speakerid.recognition.results import Voice
from speakerid.recognition.voice_encoder import SHORTEST, VoiceEncoder, sound_of
from speakerid.recognition.waveforms import Recording, path_of

WINDOW_SECONDS = 1.5
STEP_SECONDS = 0.25
"""Length of a cell, the shortest segment that is given a name."""
PAUSE_SECONDS = 0.5
"""Shortest pause; shorter silences belong to the speech around them."""
WORDS_PAUSE_SECONDS = 1.0
"""Longest silence between words that are each too short to be identified, for which they are joined."""
VOICE_SECONDS = 60.0
"""Longest duration of a voice that is embedded; a longer voice is represented by evenly spaced cells."""
PIECE_SECONDS = 600.0
"""Duration of the recording that is processed at a time, which bounds the memory. Voices are clustered per piece."""


@dataclass(frozen=True)
class Segment:
    """Segment in which one person speaks, known or not."""

    start: float
    """Seconds from the beginning of the recording."""
    end: float
    name: str | None
    """Name of the speaker; None for a stranger."""
    probability: float
    """Probability of the name, or of a stranger."""


@dataclass(frozen=True)
class _Cells:
    """N consecutive short pieces of sound."""

    starts: list[float]
    """Seconds."""
    ends: list[float]
    frames: list[NDArray[np.float32]]
    """(T, M) features of each."""
    windows: list[NDArray[np.float32]]
    """(W, M) features around each."""


def timeline(
    bundle: Bundle,
    encoder: VoiceEncoder,
    recording: Recording,
    sample_rate: int | None = None,
    false_accepts: float | None = None,
) -> list[Segment]:
    """Find out who speaks when; there is no segment where no one does.

    Args:
        bundle: knows the speakers.
        encoder: the bundle's encoder.
        recording: a file, or samples, see `Recognizer.listen`.
        sample_rate: sample rate of samples, in Hz; files have their own.
        false_accepts: share of strangers that may be given a name; by default a name is given where it is more
            probable than a stranger.

    Returns:
        Segments in temporal order, which do not overlap. Times are those of the original: the delay that decoding adds
        is subtracted where it is known, see `speakerid.audio.decode.lag`.

    Raises:
        UserError: the recording cannot be decoded, or samples are not samples or lack their rate.
    """
    rate, path = bundle.features.sample_rate, path_of(recording)
    found, began = list[Segment](), 0.0
    try:
        late = lag(path) if path else 0.0
        for waveform in _pieces_of(recording, sample_rate, rate):
            cells = _cells(waveform, bundle.features, began)
            began += len(waveform) / rate
            if cells.starts:
                found += _segments(bundle, encoder, cells, false_accepts)
    except UserError as error:
        if path is None:
            raise
        raise UserError(f"{path}: {error}") from error
    return [replace(s, start=max(0.0, s.start - late), end=s.end - late) for s in merged(found) if s.end > late]


def merged(segments: Iterable[Segment], pause: float = PAUSE_SECONDS) -> list[Segment]:
    """Merge consecutive segments of the same name with less than a pause between them.

    Args:
        segments: in temporal order.
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


def _pieces_of(recording: Recording, sample_rate: int | None, target: int) -> Iterator[Samples]:
    """Yield (N,) samples of the pieces of a recording, at the target rate."""
    path = path_of(recording)
    if path is not None:
        yield from pieces(path, PIECE_SECONDS, target)
        return
    waveform, rate = sound_of(recording, sample_rate)
    if not len(waveform):
        raise UserError("holds no samples")
    waveform = resample(waveform, rate, target)
    size = round(PIECE_SECONDS * target)
    yield from (waveform[start : start + size] for start in range(0, len(waveform), size))


def _segments(bundle: Bundle, encoder: VoiceEncoder, cells: _Cells, false_accepts: float | None) -> list[Segment]:
    """One segment per cell, with the name of its voice."""
    clusters = clusters_of(encoder.embed(cells.windows), bundle.profiles.plda)
    voices = [encoder.voice(_frames_of(cells, clusters == c)) for c in range(clusters.max() + 1)]
    names = [_name(bundle, voice, false_accepts) for voice in voices]
    return [
        Segment(start, end, *names[cluster])
        for start, end, cluster in zip(cells.starts, cells.ends, clusters.tolist(), strict=True)
    ]


def _frames_of(cells: _Cells, mine: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(T, M) frames of the chosen (N,) cells."""
    rows = np.flatnonzero(mine)
    most = round(VOICE_SECONDS / STEP_SECONDS)
    chosen = rows if len(rows) <= most else rows[np.arange(most) * len(rows) // most]
    return np.concatenate([cells.frames[row] for row in chosen.tolist()])


def _name(bundle: Bundle, voice: Voice, false_accepts: float | None) -> tuple[str | None, float]:
    """Name of a voice, None for a stranger, and its probability."""
    found = answer(bundle, voice, FALSE_ACCEPTS if false_accepts is None else false_accepts, RANKED)
    name, probability = found.ranking[0]
    stranger = max(0.0, 1 - sum(p for _, p in found.ranking))
    known = probability >= stranger if false_accepts is None else found.name is not None
    return (name, probability) if known else (None, stranger)


def _cells(waveform: Samples, features: FeatureConfig, began: float) -> _Cells:
    """Cut the (N,) samples of a piece that begins at `began` seconds at pauses, and then into cells."""
    log_mel = LogMel(features).without_trimming()  # silence has been cut
    cells = _Cells([], [], [], [])
    for stretches in _speech(waveform, features.sample_rate, features.level):
        sound = np.concatenate([waveform[stretch] for stretch in stretches])
        count = max(1, round(len(sound) / features.sample_rate / STEP_SECONDS))
        edges = np.linspace(0, len(sound), count + 1).round().astype(np.int64)
        starts, ends = _cell_edges(stretches, edges)
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
