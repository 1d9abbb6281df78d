"""Cache of computed features, so that an interrupted preparation continues and recordings can be added.

The stage is a folder of shards. While features are computed, each shard of a few recordings is written completely or
not at all. At the end, the measurements of all recordings are put into one shard, and the frames that the packed store
holds are dropped. Recordings are found by a key of their content and all settings that their features depend on, so
only new and changed ones are computed.

Shapes: T frames of a recording, M mel bands.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speakerid.base.errors import UserError
from speakerid.base.parallel import parallel_map, processors
from speakerid.base.worker import deadline
from speakerid.preparation.recording_features import Job, OutOfMemory, Settings, find_or_compute
from speakerid.preparation.shards import Computed, Entry, is_intact, map_frames, read_arrays, read_entries, write_shard

SHARD = 32
"""Maximum number of recordings in a shard; a kill loses at most this many per worker."""
PATIENCE = 300.0
"""Seconds after which decoding a recording counts as hanging."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the stage has a recording: a shard and the index in it."""

    path: Path
    index: int
    entry: Entry
    has_frames: bool


_Id = tuple[str, str]
"""Name and key of a recording."""


class Stage:
    """The shards of a folder. Damaged shards are removed and computed again.

    Args:
        folder: existing folder, locked by the caller.
        stored: frames in the packed store, by feature path.
    """

    def __init__(self, folder: Path, stored: Mapping[str, NDArray[np.floating]] = {}) -> None:
        self._folder = folder
        self._stored = stored
        self._places: dict[_Id, _Place] = {}
        self._keys: dict[str, list[str]] = {}
        self._shards: dict[Path, list[_Id]] = {}
        self._arrays = lru_cache(maxsize=16)(read_arrays)
        self._mapped = lru_cache(maxsize=16)(lambda path: map_frames(path, int(self._arrays(path)["n_mels"])))
        self._remove_damaged_shards()
        self._find_shards()

    def compute(
        self, jobs: Sequence[Job], settings: Settings, title: str, workers: int | None
    ) -> tuple[dict[Job, Entry], dict[Job, UserError]]:
        """Compute the features that are neither in the stage nor in the packed store yet.

        Args:
            jobs: jobs, in the same order in every run.
            settings: settings of the features.
            title: title of the progress bar.
            workers: see `parallel_map`.

        Returns:
            The entries of successful jobs in order, and the errors of the others.

        Raises:
            UserError: the folder cannot be written, or no worker process can start.
        """
        wanted = [(job, self._known(job.name)) for job in jobs]
        shards = [wanted[first : first + SHARD] for first in range(0, len(wanted), SHARD)]
        work = partial(_compute_shard, folder=self._folder, settings=settings)
        results = parallel_map(work, shards, title, "recordings", workers, len, _mark_for_retry, retry=False)
        found = list(chain.from_iterable(results))
        to_retry = [index for index, result in enumerate(found) if isinstance(result, OutOfMemory)]
        if to_retry and workers != 0:
            single = [[wanted[index]] for index in to_retry]
            results = parallel_map(work, single, "One by one", "recordings", 1, on_death=_final_error)
            for index, (result,) in zip(to_retry, results, strict=True):
                found[index] = result
        self._find_shards()
        entries = {
            job: self._places[job.name, key].entry for job, key in zip(jobs, found, strict=True) if isinstance(key, str)
        }
        return entries, {job: e for job, e in zip(jobs, found, strict=True) if isinstance(e, UserError)}

    def frames(self, entry: Entry) -> NDArray[np.floating]:
        """(T, M) features of one recording, memory-mapped; do not modify them."""
        place = self._places[entry.name, entry.key]
        if not place.has_frames:
            return self._stored[entry.feature_path]
        end = self._arrays(place.path)["ends"][place.index]
        return self._mapped(place.path)[end - entry.length : end]

    def statistics(self, entry: Entry) -> NDArray[np.float32]:
        """(2 M,) mean and standard deviation of every band over the frames of one recording."""
        place = self._places[entry.name, entry.key]
        return self._arrays(place.path)["statistics"][place.index]

    def fingerprint(self, entry: Entry) -> NDArray[np.uint32]:
        """Fingerprint of one recording, see `speakerid.audio.measure.fingerprint`."""
        place = self._places[entry.name, entry.key]
        arrays, index = self._arrays(place.path), place.index
        ends = arrays["fingerprint_ends"]
        return arrays["fingerprints"][ends[index - 1] if index else 0 : ends[index]]

    def keep_only(self, entries: Iterable[Entry], stored: Collection[str]) -> None:
        """Forget all other recordings, and drop frames that the packed store holds.

        Args:
            entries: entries to keep. Those with frames in neither the stage nor the new store are forgotten.
            stored: feature paths in the packed store that replaced the one given to this stage.
        """
        kept = {(entry.name, entry.key): self._places[entry.name, entry.key] for entry in entries}
        stay = {id: place for id, place in kept.items() if place.has_frames and place.entry.feature_path not in stored}
        whole = {path for path, ids in self._shards.items() if all(id in stay and stay[id].path == path for id in ids)}
        moved = [
            self._moved(place.entry, with_frames=id in stay)
            for id, place in kept.items()
            if place.path not in whole and (id in stay or place.entry.feature_path in stored)
        ]
        if moved:
            whole.add(write_shard(self._folder, moved))
        for path in self._folder.glob("*.npz"):
            if path not in whole:
                path.unlink()
        for path in self._folder.glob("*.frames"):
            if path.with_suffix(".npz") not in whole:
                path.unlink()

    def _moved(self, entry: Entry, with_frames: bool) -> Computed:
        statistics = self.statistics(entry)
        frames = self.frames(entry) if with_frames else np.empty((0, len(statistics) // 2), np.float32)
        return Computed(entry, frames, statistics, self.fingerprint(entry))

    def _remove_damaged_shards(self) -> None:
        paths = sorted(self._folder.glob("*.npz"))
        with ThreadPoolExecutor(processors()) as pool:
            damaged = [path for path, intact in zip(paths, pool.map(is_intact, paths), strict=True) if not intact]
        for path in damaged:
            path.unlink()
            path.with_suffix(".frames").unlink(missing_ok=True)
        if damaged:
            print(
                f"{self._folder}: {len(damaged)} of {len(paths)} files are damaged, including {damaged[0].stem}; "
                "their content is computed again",
                file=sys.stderr,
            )

    def _find_shards(self) -> None:
        for path in sorted(self._folder.glob("*.npz")):
            if path in self._shards:
                continue
            self._shards[path] = []
            for index, (entry, has_frames) in enumerate(read_entries(path)):
                id = entry.name, entry.key
                self._shards[path].append(id)
                former = self._places.get(id)
                if former is None or (has_frames and not former.has_frames):
                    self._places[id] = _Place(path, index, entry, has_frames)
                if former is None:
                    self._keys.setdefault(entry.name, []).append(entry.key)

    def _known(self, name: str) -> tuple[str, ...]:
        """Keys of a recording whose frames are at hand."""
        places = [self._places[name, key] for key in self._keys.get(name, ())]
        return tuple(p.entry.key for p in places if p.has_frames or p.entry.feature_path in self._stored)


_Shard = Sequence[tuple[Job, tuple[str, ...]]]


def _mark_for_retry(shard: _Shard, _: int) -> list[str | UserError]:
    """Preliminary results of a shard whose process died; its recordings are retried one by one."""
    return [OutOfMemory() for _ in shard]


def _final_error(shard: _Shard, code: int) -> list[str | UserError]:
    """Error for a recording that killed its process in the retry as well."""
    assert len(shard) == 1
    if code == -signal.SIGKILL:  # sent by the system, never by a decoder
        return [
            OutOfMemory(
                "the system twice killed the process that read it (out of memory?); free memory, or leave it out"
            )
        ]
    return [UserError("crashes or hangs its decoder; leave it out, or convert it")]


def _compute_shard(shard: _Shard, *, folder: Path, settings: Settings) -> list[str | UserError]:
    """Write a shard of the new recordings; return the key or the error of each recording."""
    results: list[str | UserError] = []
    computed: list[Computed] = []
    for job, known in shard:
        one = _compute(job, known, settings)
        if isinstance(one, Computed):
            computed.append(one)
        results.append(one.entry.key if isinstance(one, Computed) else one)
    if computed:
        write_shard(folder, computed)
    return results


def _compute(job: Job, known: Collection[str], settings: Settings) -> Computed | str | UserError:
    """Features of a recording, or its key if they are in the stage, or its error."""
    try:
        with deadline(PATIENCE):
            return find_or_compute(job, known, settings)
    except UserError as error:
        return error
    except MemoryError:
        return OutOfMemory("there is not enough memory for it; free memory, or list segments of it in a table")
