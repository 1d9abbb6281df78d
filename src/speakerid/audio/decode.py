"""Recordings to samples, and back.

A recording is mixed to mono and resampled block by block, so that the memory depends on how long it is, and not on what
its header claims, how many channels it has, or its sample rate.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from speakerid.audio.mixing import Mixer
from speakerid.audio.opening import opened
from speakerid.audio.recording import Recording
from speakerid.audio.resample import Resampler, check_rate
from speakerid.audio.with_av import AV_EXTENSIONS
from speakerid.audio.with_soundfile import SOUNDFILE_EXTENSIONS
from speakerid.errors import UserError

EXTENSIONS = SOUNDFILE_EXTENSIONS + AV_EXTENSIONS
LONGEST = 1e9
"""Seconds; what lies beyond is as good as infinite, and would overflow the arithmetic of samples."""


@dataclass(frozen=True, slots=True, eq=False)
class Sound:
    """One stretch of sound, mixed to mono.

    Attributes:
        waveform: (N,) float32 mean over the channels; full scale is 1.
        sample_rate: of the waveform, in Hz.
        channels: of the file, before mixing.
        clipped: share of the samples that are at or beyond 0.999 of full scale in any channel.
        file_rate: of the file, in Hz, before resampling.
        cancelled: the channels are of opposite sign, so that their mean is next to nothing; the waveform is the
            loudest one.
    """

    waveform: NDArray[np.float32]
    sample_rate: int
    channels: int
    clipped: float
    file_rate: int
    cancelled: bool = False


class TooLong(UserError):
    """A recording is longer than what is read at once."""


@dataclass(frozen=True, slots=True)
class _Stretch:
    """What is asked for, in seconds, and how: the only channel, or None for the mean, and the sample rate."""

    start: float
    end: float
    longest: float
    channel: int | None
    sample_rate: int | None


def decode(
    path: Path,
    start: float | None = None,
    end: float | None = None,
    max_seconds: float = 1200.0,
    channel: int | None = None,
    sample_rate: int | None = None,
) -> Sound:
    """A recording, or a stretch of it.

    Where the channels cancel each other out, as with the wires of one crossed, the loudest one is used alone.

    Args:
        path: a file with one of EXTENSIONS; those of libsndfile are told apart by their contents.
        start: of the stretch, in seconds; by default the beginning.
        end: of the stretch, in seconds; by default the end.
        max_seconds: what is longer is refused, as soon as it shows.
        channel: index of the only channel to read, from 0; by default the mean of all.
        sample_rate: to resample to, in Hz, which takes little memory however high the file's is; by default the
            file's.

    Raises:
        TooLong: it is longer than `max_seconds`.
        UserError: the file cannot be decoded, is cut off (it holds clearly less than its header promises), ends
            before the stretch, holds no samples, has no such channel, has an impossible sample rate, or changes while
            it is read.
    """
    stretch = _Stretch(start or 0.0, math.inf if end is None else end, max_seconds, channel, sample_rate)
    if not 0 <= stretch.start < min(stretch.end, LONGEST):
        raise UserError(f"stretch from {stretch.start:g} to {stretch.end:g} s: expected 0 <= start < end")
    with opened(path) as recording:
        sound, loudest = _mix(recording, stretch)
    if loudest is None:
        return sound
    with opened(path) as recording:
        sound, _ = _mix(recording, replace(stretch, channel=loudest))
    return replace(sound, cancelled=True)


def pieces(path: Path, seconds: float, sample_rate: int) -> Iterator[NDArray[np.float32]]:
    """A recording of any length, piece by piece, so that the memory does not grow with it.

    Args:
        path: see `decode`.
        seconds: length of a piece; the last one is what is left.
        sample_rate: to resample to, in Hz.

    Yields:
        (N,) float32 samples, mixed as `decode` does.

    Raises:
        UserError: as for `decode`, at the piece where it shows.
    """
    loudest = _loudest_of_cancelling(path)
    with opened(path) as recording:
        check_rate(recording.sample_rate)
        yield from _cut(recording, Mixer(recording.channels, loudest), round(seconds * sample_rate), sample_rate)


def lag(path: Path) -> float:
    """Seconds by which what `decode` and `pieces` give of a recording lags behind the original; 0 if not known.

    Raises:
        UserError: the file cannot be read or decoded.
    """
    with opened(path) as recording:
        return recording.lag


def write_wav(path: Path, waveform: NDArray[np.float32], sample_rate: int) -> None:
    """Write (N,) samples in [-1, 1] as 16-bit WAV, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:  # by its descriptor: libraries want names to be Unicode
        soundfile.write(file, waveform, sample_rate, subtype="PCM_16", format="WAV")


def _mix(recording: Recording, stretch: _Stretch) -> tuple[Sound, int | None]:
    """Read a stretch block by block, checked as early as its length shows; the channel to use if they cancel out."""
    rate, promised = recording.sample_rate, recording.promised
    check_rate(rate)
    mixer = Mixer(recording.channels, stretch.channel)
    first = round(stretch.start * rate)
    last = round(min(stretch.end, LONGEST) * rate)
    longest = round(min(stretch.longest, LONGEST) * rate)
    if recording.length is not None and promised is not None:
        _check_inside(recording, stretch, promised)
        if 0 < first >= recording.length:
            raise recording.cut_off(recording.length)
        _check_length(min(recording.length, last) - first, longest, rate)
    resampler = Resampler(rate, stretch.sample_rate or rate)
    parts, found = list[NDArray[np.float32]](), 0
    for block in recording.blocks(first):
        wanted = block[: last - first - found]
        parts.append(resampler(mixer(wanted)))
        found += len(wanted)
        _check_length(found, longest, rate)
        if found == last - first:
            break
    parts.append(resampler.rest())
    if promised is not None and recording.lacks(first + found, min(promised, last)):
        raise recording.cut_off(first + found)
    if not found:
        where = f"the stretch from {stretch.start:g} to {stretch.end:g} s"
        raise UserError(f"ends before {where}; correct start and end" if first else "holds no samples")
    _check_inside(recording, stretch, first + found)
    sound = Sound(np.concatenate(parts), resampler.target, recording.channels, mixer.clipped / found, rate)
    return sound, mixer.loudest_of_cancelling()


def _cut(recording: Recording, mixer: Mixer, size: int, sample_rate: int) -> Iterator[NDArray[np.float32]]:
    """Everything, in pieces of so many samples."""
    resampler = Resampler(recording.sample_rate, sample_rate)
    held, count, found = list[NDArray[np.float32]](), 0, 0

    def resampled() -> Iterator[NDArray[np.float32]]:
        nonlocal found
        for block in recording.blocks(0):
            found += len(block)
            yield resampler(mixer(block))
        yield resampler.rest()

    for samples in resampled():
        while count + len(samples) >= size:
            held.append(samples[: size - count])
            samples = samples[size - count :]
            yield np.concatenate(held)
            held, count = [], 0
        held.append(samples)
        count += len(samples)
    if recording.promised is not None and recording.lacks(found, recording.promised):
        raise recording.cut_off(found)
    if count:
        yield np.concatenate(held)
    elif not found:
        raise UserError("holds no samples")


def _loudest_of_cancelling(path: Path) -> int | None:
    """See `Mixer.loudest_of_cancelling`, of a whole recording."""
    with opened(path) as recording:
        if recording.channels == 1:
            return None
        mixer = Mixer(recording.channels, None)
        for block in recording.blocks(0):
            mixer(block)
        return mixer.loudest_of_cancelling()


def _check_length(samples: int, longest: int, rate: int) -> None:
    if samples > longest:
        minutes, limit = (round(count / rate / 60, 2) for count in (samples, longest))
        raise TooLong(f"is at least {minutes:g} min long, the limit is {limit:g} min; cut it into shorter recordings")


def _check_inside(recording: Recording, stretch: _Stretch, length: int) -> None:
    rate = recording.sample_rate
    first, last = stretch.start * rate, stretch.end * rate
    if 0 < first >= length or (math.isfinite(last) and recording.lacks(length, last)):
        raise UserError(
            f"is {length / rate:.2f} s long, which the stretch from {stretch.start:g} to {stretch.end:g} s exceeds; "
            "correct start and end"
        )
