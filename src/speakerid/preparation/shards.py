"""Shards of the stage: measurements of recordings, and the frames that are not in the packed store, in two files.

`.frames` holds the concatenated frames. It is written first; the `.npz` completes the shard. Both are named by the
digest of the `.npz`, which contains a digest of the frames, so damage to either is detected. A recording without
frames in the shard has them in the packed store, under its feature path.

Shapes: F frames in a shard, T frames of one recording, M mel bands.
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
from speakerid.base.files import atomic_file, check_regular

_DIGEST = 20
"""Bytes of a digest. Shards of an earlier version have names of another length and no digest of the frames."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Metadata of one recording whose features were computed."""

    name: str
    key: str
    digest: str
    """Digest of the content of the file, the segment and the channel."""
    length: int
    """Number of frames."""
    measured: Measured

    @property
    def feature_path(self) -> str:
        """File name of the features, unique to the recording and its content."""
        return f"uttr-{hashlib.blake2b(f'{self.name} {self.key}'.encode(), digest_size=16).hexdigest()}.pt"


@dataclass(frozen=True)
class Computed:
    """Content of a shard for one recording."""

    entry: Entry
    frames: NDArray[np.float32]
    """(T, M) features; (0, M) if they are in the packed store."""
    statistics: NDArray[np.float32]
    """(2 M,) mean and standard deviation of every band."""
    fingerprint: NDArray[np.uint32]
    """(K,) values, see `speakerid.audio.measure.fingerprint`."""


def write_shard(folder: Path, computed: Sequence[Computed]) -> Path:
    """Write a shard, completely or not at all, and return the path of its `.npz`."""
    content = _measurements(computed)
    path = folder / f"{_digest(content).hex()}.npz"
    with atomic_file(path.with_suffix(".frames")) as partial_path, partial_path.open("wb") as file:
        for one in computed:
            file.write(one.frames.data)  # tofile does not report the cause of an error
    with atomic_file(path) as partial_path:
        partial_path.write_bytes(content)
    return path


def read_entries(path: Path) -> list[tuple[Entry, bool]]:
    """Read the entries of a shard from its `.npz`, in order, each with whether the shard holds its frames."""
    with np.load(path) as file:
        contents = json.loads(file["entries"].tobytes())
        held = np.diff(file["ends"], prepend=0) > 0
    entries = [Entry(**content | {"measured": Measured(**content["measured"])}) for content in contents]
    return list(zip(entries, held.tolist(), strict=True))


def is_intact(path: Path) -> bool:
    """Whether both files of a shard are undamaged, given the path of its `.npz`."""
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
        read_entries(path)  # an earlier version has no digests: check what is possible
        return frames.stat().st_size == 4 * int(held["ends"][-1] * held["n_mels"])
    except Exception:  # damaged bytes raise various exceptions of NumPy, zipfile and json
        return False


def read_arrays(path: Path) -> dict[str, NDArray]:
    """Read the arrays of a shard's `.npz` by name, see `_measurements`."""
    with np.load(path) as file:
        return dict(file)


def map_frames(path: Path, n_mels: int) -> NDArray[np.float32]:
    """Map the (F, M) frames of a shard copy-on-write, because torch warns about read-only memory."""
    return np.memmap(path.with_suffix(".frames"), np.float32, "c").reshape(-1, n_mels)


def _measurements(computed: Sequence[Computed]) -> bytes:
    """Content of the `.npz` file."""
    entries = json.dumps([asdict(one.entry) for one in computed]).encode()
    buffer = io.BytesIO()
    np.savez(
        buffer,
        entries=np.frombuffer(entries, np.uint8),
        n_mels=computed[0].frames.shape[1],
        ends=np.cumsum([len(one.frames) for one in computed]),
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
