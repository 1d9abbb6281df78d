"""Recordings to samples, and back.

A recording is mixed to mono block by block, so that the memory depends on how long it is, and not on what its header
claims or how many channels it has.
"""

import importlib.util
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from speakerid.audio.recording import Recording, UnknownToSoundfile, open_with_av, open_with_soundfile
from speakerid.audio.resample import check_rate
from speakerid.errors import UserError

SOUNDFILE_EXTENSIONS = (
    ".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".mp2", ".aif", ".aiff", ".aifc", ".au", ".snd",
    ".caf", ".w64", ".rf64", ".voc", ".sph", ".nist",
)  # fmt: skip
AV_EXTENSIONS = (
    ".m4a", ".m4b", ".aac", ".mp4", ".mov", ".webm", ".mka", ".mkv", ".wma", ".amr", ".3gp", ".3g2", ".ac3", ".ape",
    ".wv", ".spx",
)  # fmt: skip
EXTENSIONS = SOUNDFILE_EXTENSIONS + AV_EXTENSIONS

FULL_SCALE = 0.999
"""A sample from here on counts as clipped."""
LONGEST = 1e9
"""Seconds; what lies beyond is as good as infinite, and would overflow the arithmetic of samples."""


@dataclass(frozen=True, slots=True, eq=False)
class Sound:
    """One stretch of sound, mixed to mono.

    Attributes:
        waveform: (N,) float32 mean over the channels; full scale is 1.
        sample_rate: in Hz.
        channels: of the file, before mixing.
        clipped: share of the samples that are at or beyond 0.999 of full scale in any channel.
    """

    waveform: NDArray[np.float32]
    sample_rate: int
    channels: int
    clipped: float


class TooLong(UserError):
    """A recording is longer than what is read at once."""


@dataclass(frozen=True, slots=True)
class _Stretch:
    """What is asked for, in seconds, and the index of the channel, None for the mean of all."""

    start: float
    end: float
    longest: float
    channel: int | None


def decode(
    path: Path,
    start: float | None = None,
    end: float | None = None,
    max_seconds: float = 1200.0,
    channel: int | None = None,
) -> Sound:
    """A recording, or a stretch of it.

    Args:
        path: a file with one of EXTENSIONS; those of libsndfile are told apart by their contents.
        start: of the stretch, in seconds; by default the beginning.
        end: of the stretch, in seconds; by default the end.
        max_seconds: what is longer is refused, as soon as it shows.
        channel: index of the only channel to read, from 0; by default the mean of all.

    Raises:
        TooLong: it is longer than `max_seconds`.
        UserError: the file cannot be decoded, is cut off (it holds clearly less than its header promises), ends
            before the stretch, holds no samples, has no such channel, or has an impossible sample rate.
    """
    stretch = _Stretch(start or 0.0, math.inf if end is None else end, max_seconds, channel)
    if not 0 <= stretch.start < min(stretch.end, LONGEST):
        raise UserError(f"stretch from {stretch.start:g} to {stretch.end:g} s: expected 0 <= start < end")
    extension = path.suffix.lower()
    try:
        with path.open("rb") as file:  # by its descriptor: libraries want names to be Unicode
            if extension not in AV_EXTENSIONS:
                try:
                    with open_with_soundfile(file) as recording:
                        return _mix(recording, stretch)
                except UnknownToSoundfile:
                    if importlib.util.find_spec("av") is None:
                        raise
                    file.seek(0)
            with open_with_av(file, extension) as recording:
                return _mix(recording, stretch)
    except OSError as error:
        raise UserError(f"cannot be decoded: {error.strerror or error}") from error


def pieces(path: Path, seconds: float) -> Iterator[Sound]:
    """A recording of any length, piece by piece, so that the memory does not grow with it.

    Args:
        path: see `decode`.
        seconds: length of a piece; the last one is what is left.

    Raises:
        UserError: as for `decode`, at the piece where it shows.
    """
    extension, found = path.suffix.lower(), 0
    try:
        with path.open("rb") as file:
            if extension not in AV_EXTENSIONS:
                try:
                    with open_with_soundfile(file) as recording:
                        for piece in _cut(recording, 0, seconds):
                            found += len(piece.waveform)
                            yield piece
                    return
                except UnknownToSoundfile:
                    if importlib.util.find_spec("av") is None:
                        raise
                    file.seek(0)
            with open_with_av(file, extension) as recording:
                yield from _cut(recording, found, seconds)
    except OSError as error:
        raise UserError(f"cannot be decoded: {error.strerror or error}") from error


def write_wav(path: Path, waveform: NDArray[np.float32], sample_rate: int) -> None:
    """Write (N,) samples in [-1, 1] as 16-bit WAV, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:  # by its descriptor: libraries want names to be Unicode
        soundfile.write(file, waveform, sample_rate, subtype="PCM_16", format="WAV")


def _mix(recording: Recording, stretch: _Stretch) -> Sound:
    """Read a stretch block by block, checked as early as its length shows."""
    rate, promised = recording.sample_rate, recording.promised
    check_rate(rate)
    _check_channel(stretch.channel, recording.channels)
    first = round(stretch.start * rate)
    last = round(min(stretch.end, LONGEST) * rate)
    longest = round(min(stretch.longest, LONGEST) * rate)
    if recording.length is not None and promised is not None:
        _check_inside(stretch, promised, rate)
        if 0 < first >= recording.length:
            raise recording.cut_off(recording.length)
        _check_length(min(recording.length, last) - first, longest, rate)
    parts, found, clipped = list[NDArray[np.float32]](), 0, 0
    for block in recording.blocks(first):
        wanted = block[: last - first - found]
        if stretch.channel is not None:
            wanted = wanted[:, stretch.channel : stretch.channel + 1]
        parts.append(_mean_of_channels(wanted))
        clipped += _count_clipped(wanted)
        found += len(wanted)
        _check_length(found, longest, rate)
        if found == last - first:
            break
    if promised is not None and _clearly_less(first + found, min(promised, last), rate):
        raise recording.cut_off(first + found)
    _check_inside(stretch, first + found, rate)
    if not found:
        raise UserError("holds no samples")
    return Sound(parts[0] if len(parts) == 1 else np.concatenate(parts), rate, recording.channels, clipped / found)


def _cut(recording: Recording, first: int, seconds: float) -> Iterator[Sound]:
    """Everything from a position on, in pieces of so many seconds."""
    rate = recording.sample_rate
    check_rate(rate)
    size, found = round(seconds * rate), first
    parts, held, clipped = list[NDArray[np.float32]](), 0, 0
    for block in recording.blocks(first):
        found += len(block)
        while len(block):
            some, block = block[: size - held], block[size - held :]
            parts.append(_mean_of_channels(some))
            clipped += _count_clipped(some)
            held += len(some)
            if held == size:
                yield Sound(np.concatenate(parts), rate, recording.channels, clipped / held)
                parts, held, clipped = [], 0, 0
    if recording.promised is not None and _clearly_less(found, recording.promised, rate):
        raise recording.cut_off(found)
    if held:
        yield Sound(np.concatenate(parts), rate, recording.channels, clipped / held)
    elif not found:
        raise UserError("holds no samples")


def _mean_of_channels(block: NDArray[np.float32]) -> NDArray[np.float32]:
    channels = block.shape[1]
    if channels == 1:
        return block[:, 0]
    with np.errstate(over="ignore", invalid="ignore"):  # damaged files hold anything; who uses the samples looks
        return block @ np.full(channels, 1 / channels, np.float32)


def _count_clipped(block: NDArray[np.float32]) -> int:
    if not len(block) or (block.min() > -FULL_SCALE and block.max() < FULL_SCALE):
        return 0
    return int((np.abs(block) >= FULL_SCALE).any(1).sum())


def _check_channel(channel: int | None, channels: int) -> None:
    if channel is not None and not 0 <= channel < channels:
        raise UserError(
            f"has {channels} channel{'' if channels == 1 else 's'}; found channel {channel + 1}, "
            f"expected 1 to {channels}; correct the channel"
        )


def _check_length(samples: int, longest: int, rate: int) -> None:
    if samples > longest:
        minutes, limit = (round(count / rate / 60, 2) for count in (samples, longest))
        raise TooLong(f"is at least {minutes:g} min long, the limit is {limit:g} min; cut it into shorter recordings")


def _check_inside(stretch: _Stretch, length: int, rate: int) -> None:
    first, last = stretch.start * rate, stretch.end * rate
    if 0 < first >= length or (math.isfinite(last) and _clearly_less(length, last, rate)):
        raise UserError(
            f"is {length / rate:.2f} s long, which the stretch from {stretch.start:g} to {stretch.end:g} s exceeds; "
            "correct start and end"
        )


def _clearly_less(found: float, expected: float, rate: int) -> bool:
    """Beyond what encoders count differently: their delay, a last frame that is not full."""
    return expected - found > max(0.1 * rate, 0.02 * expected)
