"""What preparation has computed so far, kept so that a killed run goes on and new recordings are added to old ones.

The stage is a folder of shards. A shard is written whole or not at all and holds the features of a few recordings
(`.frames`, written first) with what was measured on them (`.npz`); each is known by a key that depends on the
recording's content and on every setting its features depend on, so what has changed is computed anew and what has not
is found again.

Letters: R recordings of a shard, F frames of all of them, M mel bands.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from speakerid.audio.decode import TooLong, decode
from speakerid.audio.log_mel import LogMel, trim
from speakerid.audio.measure import fingerprint, measure
from speakerid.corpus.parallel import parallel_map
from speakerid.corpus.recordings import Recording
from speakerid.corpus.shards import Computed, Entry, arrays, mapped_frames, read_entries, write_shard
from speakerid.errors import UserError

if TYPE_CHECKING:  # slow to import, and most preparations make no copies
    from speakerid.audio.augment import Augmenter, Copy

FORMAT = "speakerid stage 2"
"""Part of every key: raised when the features of the same recording and settings change."""
SHARD = 32
"""Recordings of a shard: as many as a kill may cost each worker."""
PATIENCE = 300
"""Seconds after which a recording that is still being decoded counts as one that hangs."""


@dataclass(frozen=True)
class Job:
    """One recording, or one augmented copy of it."""

    recording: Recording
    copy: Copy | None = None

    @property
    def name(self) -> str:
        return f"{self.recording.name} ({self.copy.kind})" if self.copy else self.recording.name


@dataclass(frozen=True)
class Settings:
    """Everything besides the recording that its features depend on."""

    log_mel: LogMel
    max_seconds: float
    augmenter: Augmenter | None = None


class Stage:
    """The shards of a folder.

    Args:
        folder: made if need be.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._places: dict[str, tuple[Path, int]] = {}
        self._entries: dict[str, Entry] = {}
        self._keys: dict[str, list[str]] = {}
        self._shards: dict[Path, list[tuple[str, str]]] = {}
        folder.mkdir(parents=True, exist_ok=True)
        self._find_shards()

    def compute(
        self, jobs: Sequence[Job], settings: Settings, title: str, workers: int | None
    ) -> tuple[dict[Job, Entry], list[str]]:
        """The features of every recording, computed where they are not here yet.

        Args:
            jobs: in an order that does not change from run to run.
            settings: what the features depend on.
            title: of the progress bar.
            workers: see `parallel_map`.

        Returns:
            The entries of the sound ones in the order of `jobs`, and a line for each of the others.

        Raises:
            UserError: the folder cannot be written.
        """
        wanted = [(job, tuple(self._keys.get(job.name, ()))) for job in jobs]
        shards = [wanted[first : first + SHARD] for first in range(0, len(wanted), SHARD)]
        work = partial(_work, folder=self._folder, settings=settings)

        def one_by_one(suspects: Sequence[_Shard]) -> Iterator[list[str | UserError]]:
            singles = [[pair] for shard in suspects for pair in shard]
            killed = [UserError("kills or hangs its decoder; leave it out, or convert it")]
            apart = parallel_map(work, singles, "One by one", "recordings", 1, died=lambda _: [killed])
            results = [result for (result,) in apart]
            for shard in suspects:
                yield results[: len(shard)]
                del results[: len(shard)]

        results = parallel_map(work, shards, title, "recordings", workers, len, one_by_one)
        found = list(chain.from_iterable(results))
        self._find_shards()
        entries = {job: self._entries[key] for job, key in zip(jobs, found, strict=True) if isinstance(key, str)}
        problems = [f"{job.name}: {p}" for job, p in zip(jobs, found, strict=True) if isinstance(p, UserError)]
        return entries, problems

    def frames(self, entry: Entry) -> NDArray[np.float32]:
        """(T, M) features of one recording, mapped from its shard; not to be changed."""
        path, place = self._places[entry.key]
        end = arrays(path)["ends"][place]
        return mapped_frames(path)[end - entry.length : end]

    def statistics(self, entry: Entry) -> NDArray[np.float32]:
        """(2 M,) mean and standard deviation of every band over the frames of one recording."""
        path, place = self._places[entry.key]
        return arrays(path)["statistics"][place]

    def fingerprint(self, entry: Entry) -> NDArray[np.uint32]:
        """See `speakerid.audio.measure.fingerprint`."""
        path, place = self._places[entry.key]
        ends = arrays(path)["fingerprint_ends"]
        return arrays(path)["fingerprints"][ends[place - 1] if place else 0 : ends[place]]

    def keep_only(self, entries: Mapping[Job, Entry]) -> None:
        """Remove the shards that hold none of the given entries."""
        kept = {(job.name, entry.key) for job, entry in entries.items()}
        for path, held in self._shards.items():
            if kept.isdisjoint(held):
                path.unlink()
        for path in self._folder.glob("*.frames"):
            if not path.with_suffix(".npz").exists():
                path.unlink()

    def _find_shards(self) -> None:
        for path in sorted(self._folder.glob("*.npz")):
            if path in self._shards:
                continue
            entries = read_entries(path)
            self._shards[path] = [(entry.name, entry.key) for entry in entries]
            for place, entry in enumerate(entries):
                self._keys.setdefault(entry.name, []).append(entry.key)
                if entry.key not in self._places:  # equal recordings have equal keys
                    self._places[entry.key] = path, place
                    self._entries[entry.key] = entry


class BrokenSource(UserError):
    """A file of noise or of a room cannot be used: no fault of the recording, so preparation stops."""


_Shard = Sequence[tuple[Job, tuple[str, ...]]]


def _work(shard: _Shard, *, folder: Path, settings: Settings) -> list[str | UserError]:
    """Write a shard of the recordings that are not known yet; the key of each recording, or what is wrong with it."""
    results: list[str | UserError] = []
    computed: list[Computed] = []
    for job, known in shard:
        try:
            with _Deadline():
                digest = _digest(job.recording)
                key = _key(job, digest, settings)
                if key not in known:
                    computed.append(_compute(job, digest, key, settings))
            results.append(key)
        except BrokenSource:
            raise
        except UserError as error:
            results.append(error)
    if computed:
        write_shard(folder, computed)
    return results


def _compute(job: Job, digest: str, key: str, settings: Settings) -> Computed:
    recording = job.recording
    try:
        sound = decode(recording.path, recording.start, recording.end, settings.max_seconds, channel=recording.channel)
    except TooLong as error:
        raise UserError(
            f"{error}, name stretches of it in a table with start and end, or raise the limit with --max-minutes"
        ) from error
    waveform, sample_rate, log_mel = sound.waveform, sound.sample_rate, settings.log_mel
    if job.copy:
        waveform, sample_rate = trim(waveform, sample_rate, log_mel.features), log_mel.features.sample_rate
        waveform = _augment(waveform, sample_rate, job.copy, key, settings)
        log_mel = log_mel.with_pauses()  # noise has filled them
    frames = log_mel(waveform, sample_rate)
    measured = measure(waveform, sample_rate, sound.channels, sound.clipped)
    entry = Entry(job.name, key, digest, len(frames), measured)
    return Computed(entry, frames, _statistics(frames), fingerprint(frames))


def _statistics(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """(2 M,) mean and standard deviation of every band; sums as products, which take half the time."""
    weights = np.full(len(frames), 1 / len(frames))
    mean = weights @ (values := frames.astype(np.float64))
    values -= mean
    return np.concatenate([mean, np.sqrt(weights @ np.square(values))]).astype(np.float32)


def _augment(
    waveform: NDArray[np.float32], sample_rate: int, copy: Copy, key: str, settings: Settings
) -> NDArray[np.float32]:
    assert settings.augmenter is not None
    try:
        return settings.augmenter(waveform, sample_rate, copy, np.random.default_rng(list(key.encode())))
    except UserError as error:
        raise BrokenSource(str(error)) from error


def _digest(recording: Recording) -> str:
    """Of what the file holds, wherever it lies and whatever it is called."""
    # Processors have instructions for SHA-256, which takes half of BLAKE2's time there.
    stretch = (recording.start, recording.end)
    known = stretch if recording.channel is None else (*stretch, recording.channel)  # stages without channels stay good
    digest = hashlib.sha256(repr(known).encode())
    try:
        with recording.path.open("rb", buffering=0) as file:
            while block := file.read(1 << 16):  # larger ones cost more in fresh pages than they save
                digest.update(block)
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}") from error
    return digest.hexdigest()[:32]


def _key(job: Job, digest: str, settings: Settings) -> str:
    parts: list[object] = [FORMAT, digest, settings.log_mel.features.model_dump_json(), settings.max_seconds]
    if job.copy and settings.augmenter:
        # The name as well: of two equal recordings the copies differ.
        parts += [job.name, settings.augmenter.fingerprint()]
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


class _Deadline:
    """Kills a worker process whose decoder hangs, where no exception can reach it; elsewhere it does nothing."""

    def __init__(self) -> None:
        self._armed = multiprocessing.parent_process() is not None and hasattr(signal, "setitimer")

    def __enter__(self) -> None:
        if self._armed:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, PATIENCE)

    def __exit__(self, *_: object) -> None:
        if self._armed:
            signal.setitimer(signal.ITIMER_REAL, 0)
