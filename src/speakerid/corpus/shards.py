"""Shards of the stage: the features of a few recordings with what was measured on them, in two files.

`.frames` holds the frames of all of them behind one another and is written first; with the `.npz` the shard is there.
Both are named by the digest of the `.npz`, which holds a digest of the frames, so that damage to either shows.

Letters: F frames of all recordings of a shard, T of one, M mel bands.
"""

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speakerid.audio.measure import Measured
from speakerid.files import atomic_file, check_regular

_DIGEST = 20
"""Bytes of a digest. Shards of an earlier version have names of another length, and no digests."""


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
    content = _measurements(computed)
    path = folder / f"{_digest(content).hex()}.npz"
    with atomic_file(path.with_suffix(".frames")) as partial_path, partial_path.open("wb") as file:
        for one in computed:
            file.write(one.frames.data)  # tofile would not say why it cannot
    with atomic_file(path) as partial_path:
        partial_path.write_bytes(content)


def read_entries(path: Path) -> list[Entry]:
    """What the `.npz` of a shard knows of its recordings, in their order."""
    with np.load(path) as file:
        contents = json.loads(file["entries"].tobytes())
    return [Entry(**content | {"measured": Measured(**content["measured"])}) for content in contents]


def is_sound(path: Path) -> bool:
    """Whether both files of a shard hold what was written, by its `.npz`."""
    try:
        frames = path.with_suffix(".frames")
        check_regular(path)
        check_regular(frames)
        content = path.read_bytes()
        checked = len(path.stem) == 2 * _DIGEST
        if checked and _digest(content).hex() != path.stem:
            return False
        with np.load(io.BytesIO(content)) as file:
            held = dict(file)
        if checked:
            return _digest_of_file(frames) == held["frames_digest"].tobytes()
        read_entries(path)  # of an earlier version: as far as one can tell
        return frames.stat().st_size == 4 * int(held["ends"][-1] * held["n_mels"])
    except Exception:  # damaged bytes end in any of a dozen exceptions of NumPy, zipfile and json
        return False


def arrays(path: Path) -> dict[str, NDArray]:
    """What the `.npz` of a shard holds besides, by name: see `write_shard`."""
    with np.load(path) as file:
        return dict(file)


def map_frames(path: Path, n_mels: int) -> NDArray[np.float32]:
    """(F, M); writable copies of pages, for torch takes no other memory without a warning."""
    return np.memmap(path.with_suffix(".frames"), np.float32, "c").reshape(-1, n_mels)


def _measurements(computed: Sequence[Computed]) -> bytes:
    """Content of the `.npz`."""
    entries = json.dumps([asdict(one.entry) for one in computed]).encode()
    buffer = io.BytesIO()
    np.savez(
        buffer,
        entries=np.frombuffer(entries, np.uint8),
        n_mels=computed[0].frames.shape[1],
        ends=np.cumsum([one.entry.length for one in computed]),
        statistics=np.stack([one.statistics for one in computed]),
        fingerprints=np.concatenate([one.fingerprint for one in computed]),
        fingerprint_ends=np.cumsum([len(one.fingerprint) for one in computed]),
        frames_digest=np.frombuffer(_digest(*(one.frames.data for one in computed)), np.uint8),
    )
    return buffer.getvalue()


def _digest(*pieces: bytes | memoryview) -> bytes:
    digest = hashlib.blake2b(digest_size=_DIGEST)
    for piece in pieces:
        digest.update(piece)
    return digest.digest()


def _digest_of_file(path: Path) -> bytes:
    digest = hashlib.blake2b(digest_size=_DIGEST)
    with path.open("rb", buffering=0) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.digest()
