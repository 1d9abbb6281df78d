"""Shards of the stage: the features of a few recordings with what was measured on them, in two files.

`.frames` holds the frames of all of them behind one another and is written first; with the `.npz` the shard is there.

Letters: F frames of all recordings of a shard, T of one, M mel bands.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speakerid.audio.measure import Measured
from speakerid.files import atomic_file


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one recording whose features were computed."""

    name: str
    key: str
    digest: str
    """Of the content of the file and the stretch of it."""
    length: int
    """Frames."""
    measured: Measured


@dataclass(frozen=True)
class Computed:
    """What a shard holds of one recording."""

    entry: Entry
    frames: NDArray[np.float32]
    statistics: NDArray[np.float32]
    fingerprint: NDArray[np.uint32]


def write_shard(folder: Path, computed: Sequence[Computed]) -> None:
    """Write a shard, whole or not at all; its name is that of its content."""
    entries = json.dumps([asdict(one.entry) for one in computed]).encode()
    name = hashlib.blake2b("".join(one.entry.name + one.entry.key for one in computed).encode(), digest_size=16)
    path = folder / f"{name.hexdigest()}.npz"
    with atomic_file(path.with_suffix(".frames")) as partial_path, partial_path.open("wb") as file:
        for one in computed:
            file.write(one.frames.data)  # tofile would not say why it cannot
    with atomic_file(path) as partial_path, partial_path.open("wb") as file:
        np.savez(
            file,
            entries=np.frombuffer(entries, np.uint8),
            n_mels=computed[0].frames.shape[1],
            ends=np.cumsum([one.entry.length for one in computed]),
            statistics=np.stack([one.statistics for one in computed]),
            fingerprints=np.concatenate([one.fingerprint for one in computed]),
            fingerprint_ends=np.cumsum([len(one.fingerprint) for one in computed]),
        )


def read_entries(path: Path) -> list[Entry]:
    """What the `.npz` of a shard knows of its recordings, in their order."""
    with np.load(path) as file:
        contents = json.loads(file["entries"].tobytes())
    return [Entry(**content | {"measured": Measured(**content["measured"])}) for content in contents]


@lru_cache(maxsize=16)
def arrays(path: Path) -> dict[str, NDArray]:
    """What the `.npz` of a shard holds besides, by name: see `write_shard`."""
    with np.load(path) as file:
        return dict(file)


@lru_cache(maxsize=16)
def mapped_frames(path: Path) -> NDArray[np.float32]:
    """(F, M); writable copies of pages, for torch takes no other memory without a warning."""
    return np.memmap(path.with_suffix(".frames"), np.float32, "c").reshape(-1, arrays(path)["n_mels"])
