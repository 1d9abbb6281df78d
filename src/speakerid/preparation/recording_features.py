"""Features of one recording, or of a copy at another speed, and their key in the stage.

Shapes: M mel bands.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speakerid.audio.decode import TooLong, decode
from speakerid.audio.log_mel import LogMel, trim
from speakerid.audio.measure import fingerprint, measure
from speakerid.audio.speed import at_speed
from speakerid.base.errors import UserError
from speakerid.base.files import check_regular
from speakerid.preparation.shards import Computed, Entry
from speakerid.preparation.sources.recordings import Recording

FORMAT = "speakerid stage 3"
"""Version of the features, part of every key. Increase it if the same recording and settings give other features."""
LARGE = 1 << 24
"""Size in bytes above which the content of a file is digested once for all of its segments."""
ATTEMPTS = 3
"""Number of times to read a recording that changes while it is read."""


@dataclass(frozen=True)
class Job:
    """One recording, or a copy of it at another speed, which counts as another speaker."""

    recording: Recording
    speed: float | None = None

    @property
    def name(self) -> str:
        return f"{self.recording.name} (speed {self.speed})" if self.speed else self.recording.name


@dataclass(frozen=True)
class Settings:
    """Settings that features depend on."""

    log_mel: LogMel
    max_seconds: float


class OutOfMemory(UserError):
    """There was not enough memory for a recording; the recording itself may be fine."""


def find_or_compute(job: Job, known: Collection[str], settings: Settings) -> str | Computed:
    """Return the key of a job if it is in `known`; else compute the features.

    Raises:
        UserError: the recording cannot be read or decoded, or keeps changing.
    """
    for _ in range(ATTEMPTS):
        digest = digest_of(job.recording)
        key = _key(job, digest, settings)
        if key in known:
            return key
        computed = _compute(job, digest, key, settings)
        if digest_of(job.recording) == digest:
            return computed
    raise UserError("changes while it is read; prepare again when it is complete")


def _compute(job: Job, digest: str, key: str, settings: Settings) -> Computed:
    recording = job.recording
    log_mel = settings.log_mel
    rate = log_mel.features.sample_rate
    try:
        sound = decode(
            recording.path, recording.start, recording.end, settings.max_seconds, recording.channel, sample_rate=rate
        )
    except TooLong as error:
        raise UserError(
            f"{error}, list segments of it in a table with start and end, or raise the limit with --max-minutes"
        ) from error
    waveform, sample_rate = sound.waveform, sound.sample_rate
    if job.speed:
        waveform, sample_rate = trim(waveform, sample_rate, log_mel.features), log_mel.features.sample_rate
        waveform = at_speed(waveform, job.speed)
        log_mel = log_mel.without_trimming()  # pauses were already trimmed above
    frames = log_mel(waveform, sample_rate)
    measured = measure(waveform, sample_rate, sound.channels, sound.clipped)
    if job.speed is None:
        measured = replace(measured, sample_rate=sound.file_rate, cancelled=sound.cancelled)
    entry = Entry(job.name, key, digest, len(frames), measured)
    return Computed(entry, frames, _statistics(frames), fingerprint(frames))


def _statistics(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """(2 M,) mean and standard deviation of every band. Sums are matrix products, which take half the time."""
    weights = np.full(len(frames), 1 / len(frames))
    mean = weights @ (values := frames.astype(np.float64))
    values -= mean
    return np.concatenate([mean, np.sqrt(weights @ np.square(values))]).astype(np.float32)


def digest_of(recording: Recording) -> str:
    """Digest of a recording's file content, segment and channel, independent of its path."""
    # SHA-256 takes half the time of BLAKE2 because processors have instructions for it.
    segment = (recording.start, recording.end)
    known = segment if recording.channel is None else (*segment, recording.channel)  # keep keys of old stages valid
    digest = hashlib.sha256(repr(known).encode())
    try:
        check_regular(recording.path)
        status = recording.path.stat()
        if recording.start is not None and status.st_size > LARGE:
            # A long recording has hundreds of segments, so its content is read once and not for each.
            version = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
            digest.update(_content_digest(recording.path, version))
        else:
            _update(digest, recording.path)
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}") from error
    return digest.hexdigest()[:32]


@lru_cache(maxsize=8)
def _content_digest(path: Path, version: tuple[int, ...]) -> bytes:
    """Digest of a file's content; `version` changes whenever the file does."""
    digest = hashlib.sha256()
    _update(digest, path)
    return digest.digest()


def _update(digest: hashlib._Hash, path: Path) -> None:
    with path.open("rb", buffering=0) as file:
        while block := file.read(1 << 16):  # larger blocks are slower: they need fresh pages
            digest.update(block)


def _key(job: Job, digest: str, settings: Settings) -> str:
    parts: list[object] = [FORMAT, digest, settings.log_mel.features.model_dump_json(), settings.max_seconds]
    if job.speed:
        parts.append(job.speed)
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()
