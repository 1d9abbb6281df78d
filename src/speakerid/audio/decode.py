"""Decode recordings to samples, and write WAV files.

A recording is mixed to mono and resampled block by block, so memory use depends on its real length, not on the length
in its header, the number of channels or the sample rate.

Shapes: N samples.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from speakerid.audio.decode_with_av import AV_EXTENSIONS
from speakerid.audio.decode_with_soundfile import SOUNDFILE_EXTENSIONS
from speakerid.audio.mixing import Mixer
from speakerid.audio.opening import open_recording
from speakerid.audio.recording import Recording
from speakerid.audio.resample import Resampler, check_rate
from speakerid.base.errors import UserError
from speakerid.base.files import StrPath

EXTENSIONS = SOUNDFILE_EXTENSIONS + AV_EXTENSIONS
MAX_TIME = 1e9
"""Maximum time in seconds; more counts as infinite, because sample counts would overflow."""


@dataclass(frozen=True, slots=True, eq=False)
class Sound:
    """A decoded segment, mixed to mono.

    Attributes:
        waveform: (N,) float32 mean over the channels; full scale is 1.
        sample_rate: sample rate of the waveform, in Hz.
        channels: number of channels of the file.
        clipped: share of the samples that reach 0.999 of full scale in any channel.
        file_rate: sample rate of the file, in Hz.
        cancelled: whether the channels have opposite signs and their mean is close to zero; the waveform is then the
            loudest channel.
    """

    waveform: NDArray[np.float32]
    sample_rate: int
    channels: int
    clipped: float
    file_rate: int
    cancelled: bool = False


class TooLong(UserError):
    """A recording is longer than the limit."""


@dataclass(frozen=True, slots=True)
class _Segment:
    """Segment to decode, in seconds; the channel, None for the mean; and the sample rate, None for the file's."""

    start: float
    end: float
    longest: float
    channel: int | None
    sample_rate: int | None


def decode(
    path: StrPath,
    start: float | None = None,
    end: float | None = None,
    max_seconds: float = 1200.0,
    channel: int | None = None,
    sample_rate: int | None = None,
) -> Sound:
    """Decode a recording, or a segment of it.

    If the channels cancel each other out, as when one has its wires swapped, only the loudest channel is used.

    Args:
        path: file with one of EXTENSIONS; formats of libsndfile are detected by content.
        start: start of the segment in seconds. Default: the beginning.
        end: end of the segment in seconds. Default: the end.
        max_seconds: maximum length; a longer recording is refused as early as possible.
        channel: zero-based index of the channel to read. Default: the mean of all channels.
        sample_rate: sample rate of the result in Hz; resampling takes little memory even from high rates. Default: that
            of the file.

    Raises:
        TooLong: the segment is longer than `max_seconds`.
        UserError: the file cannot be decoded, is truncated (clearly shorter than its header says), ends before the
            segment, has no samples, does not have the channel, has an impossible sample rate, or changes while it is
            read.
    """
    segment = _Segment(start or 0.0, math.inf if end is None else end, max_seconds, channel, sample_rate)
    if not 0 <= segment.start < min(segment.end, MAX_TIME):
        raise UserError(f"segment from {segment.start:g} to {segment.end:g} s: expected 0 <= start < end")
    path = Path(path)
    with open_recording(path) as recording:
        sound, loudest = _mix(recording, segment)
    if loudest is None:
        return sound
    with open_recording(path) as recording:
        sound, _ = _mix(recording, replace(segment, channel=loudest))
    return replace(sound, cancelled=True)


def pieces(path: StrPath, seconds: float, sample_rate: int) -> Iterator[NDArray[np.float32]]:
    """Decode a recording of any length piece by piece, in constant memory.

    Args:
        path: see `decode`.
        seconds: length of a piece; the last one may be shorter.
        sample_rate: sample rate of the result, in Hz.

    Yields:
        (N,) float32 samples, mixed as by `decode`.

    Raises:
        UserError: see `decode`; raised at the piece where the problem is found.
    """
    path = Path(path)
    loudest = _loudest_if_cancelled(path)
    with open_recording(path) as recording:
        check_rate(recording.sample_rate)
        yield from _decode_pieces(
            recording, Mixer(recording.channels, loudest), round(seconds * sample_rate), sample_rate
        )


def lag(path: StrPath) -> float:
    """Delay in seconds of the samples from `decode` and `pieces` relative to the original; 0 if unknown.

    Raises:
        UserError: the file cannot be read or decoded.
    """
    with open_recording(Path(path)) as recording:
        return recording.lag


def write_wav(path: StrPath, waveform: NDArray[np.float32], sample_rate: int) -> None:
    """Write (N,) samples in [-1, 1] as 16-bit WAV; create missing folders."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:  # pass a file: libsndfile wants names to be valid Unicode
        soundfile.write(file, waveform, sample_rate, subtype="PCM_16", format="WAV")


def _mix(recording: Recording, segment: _Segment) -> tuple[Sound, int | None]:
    """Decode a segment block by block, checking its length as early as possible.

    Returns:
        The sound, and the loudest channel if the channels cancel out, else None.
    """
    rate, header_length = recording.sample_rate, recording.header_length
    check_rate(rate)
    mixer = Mixer(recording.channels, segment.channel)
    first = round(segment.start * rate)
    last = round(min(segment.end, MAX_TIME) * rate)
    longest = round(min(segment.longest, MAX_TIME) * rate)
    if recording.length is not None and header_length is not None:
        _check_inside(recording, segment, header_length)
        if 0 < first >= recording.length:
            raise recording.truncation_error(recording.length)
        _check_length(min(recording.length, last) - first, longest, rate)
    resampler = Resampler(rate, segment.sample_rate or rate)
    parts, found = list[NDArray[np.float32]](), 0
    for block in recording.blocks(first):
        wanted = block[: last - first - found]
        parts.append(resampler(mixer(wanted)))
        found += len(wanted)
        _check_length(found, longest, rate)
        if found == last - first:
            break
    parts.append(resampler.rest())
    if header_length is not None and recording.is_missing(first + found, min(header_length, last)):
        raise recording.truncation_error(first + found)
    if not found:
        where = f"the segment from {segment.start:g} to {segment.end:g} s"
        raise UserError(f"ends before {where}; correct start and end" if first else "holds no samples")
    _check_inside(recording, segment, first + found)
    sound = Sound(np.concatenate(parts), resampler.target, recording.channels, mixer.clipped / found, rate)
    return sound, mixer.loudest_if_cancelled()


def _decode_pieces(recording: Recording, mixer: Mixer, size: int, sample_rate: int) -> Iterator[NDArray[np.float32]]:
    """Decode everything, in pieces of `size` samples."""
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
    if recording.header_length is not None and recording.is_missing(found, recording.header_length):
        raise recording.truncation_error(found)
    if count:
        yield np.concatenate(held)
    elif not found:
        raise UserError("holds no samples")


def _loudest_if_cancelled(path: Path) -> int | None:
    """Loudest channel of a whole recording whose channels cancel out, else None."""
    with open_recording(path) as recording:
        if recording.channels == 1:
            return None
        mixer = Mixer(recording.channels, None)
        for block in recording.blocks(0):
            mixer(block)
        return mixer.loudest_if_cancelled()


def _check_length(samples: int, longest: int, rate: int) -> None:
    if samples > longest:
        minutes, limit = (round(count / rate / 60, 2) for count in (samples, longest))
        raise TooLong(f"is at least {minutes:g} min long, the limit is {limit:g} min; cut it into shorter recordings")


def _check_inside(recording: Recording, segment: _Segment, length: int) -> None:
    rate = recording.sample_rate
    first, last = segment.start * rate, segment.end * rate
    if 0 < first >= length or (math.isfinite(last) and recording.is_missing(length, last)):
        raise UserError(
            f"is {length / rate:.2f} s long, but the segment is from {segment.start:g} to {segment.end:g} s; "
            "correct start and end"
        )
