"""Features of the turns of a transcript, read from its recording in constant memory.

Shapes: N samples, T frames, M mel bands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from speakerid.annotations.speech import utterances_in
from speakerid.annotations.turns import Turn
from speakerid.audio.decode import lag, pieces
from speakerid.audio.frontends import Frontend
from speakerid.audio.log_mel import Samples
from speakerid.base.errors import UserError
from speakerid.recognition.timeline import PIECE_SECONDS
from speakerid.recognition.voice_encoder import SILENT

PART_SECONDS = 10.0
"""Longest part of a turn; one voice print is computed for each."""
SHORTEST_PART = 0.1
"""Seconds below which a part of a turn is left out: it is hardly a frame."""
BEYOND = 1.0
"""Seconds by which a turn may begin after the recording ends."""


class Part(NamedTuple):
    """Part of a turn in which no one else speaks."""

    turn: int
    """Index of the turn."""
    start: float
    """Seconds from the beginning of the recording."""
    end: float
    frames: NDArray[np.float32]
    """(T, M) features without pauses."""


def parts_of(
    path: Path, turns: Sequence[Turn], frontend: Frontend, advance: Callable[[], None] = lambda: None
) -> list[Part]:
    """Compute the features of turns where they do not overlap, in the order of time.

    Args:
        path: the recording.
        turns: turns of the transcript.
        frontend: front end of the bundle.
        advance: called once for every turn.

    Raises:
        UserError: the recording cannot be decoded, or a turn begins after its end.
    """
    single = [replace(turn, speaker=str(index)) for index, turn in enumerate(turns)]
    spans = utterances_in(single, None, PART_SECONDS, SHORTEST_PART).utterances
    rate, found, begun = frontend.features.sample_rate, list[Part](), set[str]()
    for (start, end, index), waveform in zip(spans, _cut(path, spans, turns, rate), strict=True):
        if index not in begun:
            begun.add(index)
            advance()
        if len(waveform) and float(np.abs(waveform).max()) > SILENT:
            try:
                found.append(Part(int(index), start, end, frontend(waveform, rate)))
            except UserError:  # without sound, or too short
                continue
    for _ in range(len(turns) - len(begun)):  # turns over which others speak
        advance()
    return found


def _cut(path: Path, spans: Sequence[tuple[float, float, str]], turns: Sequence[Turn], rate: int) -> Iterator[Samples]:
    """(N,) samples of each span; spans are in order of time and do not overlap."""
    try:
        late = lag(path)
        waiting = iter([(round((start + late) * rate), round((end + late) * rate)) for start, end, _ in spans])
        span, kept, began = next(waiting, None), list[Samples](), 0
        for waveform in pieces(path, PIECE_SECONDS, rate):
            last = began + len(waveform)
            while span and span[0] < last:
                kept.append(waveform[max(span[0] - began, 0) : max(span[1] - began, 0)].copy())
                if span[1] > last:
                    break  # the rest is in the next piece
                yield np.concatenate(kept)
                span, kept = next(waiting, None), []
            began = last
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    length = began / rate - late
    beyond = next((turn for turn in turns if turn.start > length + BEYOND), None)
    if beyond:
        raise UserError(
            f"{beyond.where}: start: found {beyond.start:g} s, but {path} is {length:.2f} s long; give the "
            "recording of this transcript"
        )
    while span:
        yield np.concatenate([*kept, np.zeros(0, np.float32)])
        span, kept = next(waiting, None), []
