"""Packed store: all frames of a part of a corpus in one memory-mapped file.

A batch is one gather, and memory use does not grow with the corpus. A store is a folder with, for each part (labelled,
test, strangers):

    part.json             metadata, digest and checksums of the files below, and its own checksum; written last
    part-<digest>.frames  the concatenated frames of all utterances
    part-<digest>.index   one row of numbers per utterance
    part-<digest>.names   one feature path per utterance

Files are named by their content, and renaming part.json replaces a store: readers keep the files that they have open,
and a killed process leaves either the old store or the new one. Parts written together share a digest of the corpus, so
that parts of different corpora are not mixed.

Shapes: N utterances, F frames of all utterances, T frames of one utterance, M mel bands.
"""

import hashlib
import mmap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, ValidationError

from speakerid.base.errors import UserError, describe
from speakerid.base.files import check_regular
from speakerid.config import FeatureConfig
from speakerid.corpus.utterances import Part, Utterances

if TYPE_CHECKING:
    from torch import Tensor

FORMAT: Literal["speakerid store 2"] = "speakerid store 2"
_CHECKED = b'{"checksum":"'
"""Beginning of part.json: the checksum of everything after its comma. Format 1 has no such checksum."""
BLOCK = 1 << 22
"""Number of bytes of frames per checksum."""
DType = Literal["float16", "float32"]
ROW = np.dtype(
    [("offset", "<i8"), ("length", "<i4"), ("speaker", "<i4"), ("session", "<i4"), ("origin", "<i4")],
)
"""Row of the index."""


@dataclass(frozen=True)
class FrameStore:
    """Concatenated features of N utterances."""

    frames: NDArray[np.floating]
    """(F, M) float16 or float32."""
    offsets: NDArray[np.integer]
    """(N,) first frame of each utterance."""
    lengths: NDArray[np.integer]
    """(N,) number of frames of each utterance."""

    def __len__(self) -> int:
        return len(self.lengths)

    def array(self, index: int) -> NDArray[np.float32]:
        """(T, M) copy of the features of one utterance."""
        start = self.offsets[index]
        return np.array(self.frames[start : start + self.lengths[index]], np.float32)

    def utterance(self, index: int) -> "Tensor":
        """(T, M) float32 copy of the features of one utterance, as a tensor."""
        import torch  # what recognizes speakers works without it

        return torch.from_numpy(self.array(index))

    @staticmethod
    def from_utterances(utterances: Sequence[NDArray[np.floating]], n_mels: int) -> "FrameStore":
        """Store in memory of (T, M) features of N utterances."""
        lengths = np.array([len(frames) for frames in utterances], np.int64)
        frames = np.concatenate(utterances) if len(utterances) else np.zeros((0, n_mels), np.float32)
        return FrameStore(frames, np.cumsum(lengths) - lengths, lengths)

    def of(self, indices: Sequence[int] | NDArray[np.integer]) -> "FrameStore":
        """Store with a subset of the utterances, sharing the frames."""
        chosen = np.asarray(indices, np.int64)
        return FrameStore(self.frames, self.offsets[chosen], self.lengths[chosen])

    def release(self) -> None:
        """Release the file pages in use, so that the memory of this process does not grow with the corpus.

        The pages stay in the page cache of the system.
        """
        file = self.frames.base
        if isinstance(file, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            file.madvise(mmap.MADV_DONTNEED)


class Head(BaseModel, frozen=True, extra="forbid"):
    """Content of part.json."""

    format: Literal["speakerid store 1", "speakerid store 2"]
    features: FeatureConfig
    dtype: DType
    utterances: Annotated[int, Field(ge=0)]
    frames: Annotated[int, Field(ge=0)]
    digest: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    """Digest of the three checksums below; part of the file names."""
    blocks: str
    """Checksums of the blocks of frames, 16 hexadecimal digits each."""
    index: str
    """Checksum of the index."""
    names: str
    """Checksum of the names."""
    source: str | None
    """Fingerprint of the feature files that it was packed from; None if they are not kept."""
    corpus: str | None = None
    """Digest shared by all parts that were written together; None if the part was written alone."""
    speakers: tuple[str, ...]
    """Speakers of the corpus, in class order."""
    speaker_names: tuple[str, ...]
    """Names that the index refers to."""
    sessions: tuple[str, ...]


@dataclass(frozen=True)
class Store:
    """One part of a packed corpus.

    Attributes:
        path: path of part.json.
        head: content of part.json.
    """

    path: Path
    head: Head

    @cached_property
    def frames(self) -> FrameStore:
        """Memory-mapped frames."""
        return FrameStore(self._frames, self._index["offset"], self._index["length"])

    @cached_property
    def utterances(self) -> Utterances:
        """Utterances of the part."""
        index, head = self._index, self.head
        return Utterances(
            _Names(self.file("names"), head.utterances),
            index["length"],
            index["speaker"],
            index["session"],
            index["origin"],
            head.speaker_names,
            head.sessions,
        )

    def verify(self) -> list[str]:
        """Read all frames, and return one line per block that differs from its checksum."""
        return [
            f"{self.file('frames').name}: bytes {block.start} to {block.stop} differ from their checksum; "
            f"they hold utterances {rows.start} to {rows.stop - 1}"
            for block, rows in self.damage()
        ]

    def damage(self) -> list[tuple[range, range]]:
        """Read all frames, and return the bytes and the rows of every block that differs from its checksum."""
        damaged, expected = [], self.head.blocks
        for number, block in enumerate(blocks(self.file("frames"))):
            if checksum([block]) != expected[16 * number : 16 * number + 16]:
                start, end = number * BLOCK, number * BLOCK + len(block)
                first, last = (int(np.searchsorted(self._ends, byte, "right")) for byte in (start, end - 1))
                damaged.append((range(start, end), range(first, last + 1)))
        return damaged

    def check(self) -> None:
        """Raise UserError if a file is missing or has the wrong size, or index or names differ from their checksum."""
        frames, expected = self.file("frames"), self.frame_bytes * self.head.frames
        for path in map(self.file, ("frames", "index", "names")):
            try:
                check_regular(path)
            except FileNotFoundError as error:
                raise UserError(f"{path}: missing") from error
            except UserError as error:
                raise UserError(f"{path}: {error}") from error
        if (found := frames.stat().st_size) != expected:
            raise UserError(f"{frames}: found {found} bytes, expected {expected}")
        for path, stored in ((self.file("index"), self.head.index), (self.file("names"), self.head.names)):
            if checksum(blocks(path)) != stored:
                raise UserError(f"{path}: differs from its checksum")

    def file(self, kind: str) -> Path:
        """Path of the file with `frames`, `index` or `names`."""
        return self.path.with_name(f"{self.path.stem}-{self.head.digest}.{kind}")

    @property
    def frame_bytes(self) -> int:
        """Size of one frame on disk, in bytes."""
        return self.head.features.n_mels * np.dtype(self.head.dtype).itemsize

    @property
    def _ends(self) -> NDArray[np.integer]:
        """(N,) end of each utterance in the frames file, in bytes."""
        return (self._index["offset"] + self._index["length"]) * self.frame_bytes

    @cached_property
    def _index(self) -> NDArray[np.void]:
        if not self.head.utterances:  # an empty file cannot be mapped
            return np.empty(0, ROW)
        return np.memmap(self.file("index"), ROW, "r")

    @cached_property
    def _frames(self) -> NDArray[np.floating]:
        shape = (self.head.frames, self.head.features.n_mels)
        if not self.head.frames:
            return np.empty(shape, self.head.dtype)
        return np.memmap(self.file("frames"), self.head.dtype, "r", shape=shape)


class _Names(Sequence[str]):
    """Lines of a file, decoded on first access, which training never needs.

    The file is mapped at once, so that it stays available when another store replaces this one.
    """

    def __init__(self, path: Path, count: int) -> None:
        self._content = np.memmap(path, np.uint8, "r") if count else np.empty(0, np.uint8)
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index):  # pyright: ignore[reportIncompatibleMethodOverride]
        return self._lines[index]

    @cached_property
    def _lines(self) -> list[str]:
        return self._content.tobytes().decode().split("\n")[:-1]


def read_store(folder: Path, part: Part) -> Store:
    """Open one part of a store and check it, except for the values of the frames, which `Store.verify` checks.

    Raises:
        FileNotFoundError: the part does not exist.
        UserError: the part is truncated or damaged.
    """
    path = folder / f"{part}.json"
    while True:
        head = _read_head(path)
        store = Store(path, head)
        try:
            store.check()
            return store
        except UserError:
            if _read_head(path) == head:  # else it was replaced in the meantime
                raise


def head_content(head: Head) -> bytes:
    """Format part.json with its own checksum."""
    content = head.model_dump_json().encode()
    return _CHECKED + checksum([content]).encode() + b'",' + content[1:]


def _read_head(path: Path) -> Head:
    try:
        check_regular(path)
        content = path.read_bytes()
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    if content.startswith(_CHECKED):
        end = len(_CHECKED) + 16
        stored, content = content[len(_CHECKED) : end + 2], b"{" + content[end + 2 :]
        if checksum([content]).encode() + b'",' != stored:
            raise UserError(f"{path}: differs from its checksum")
    try:
        head = Head.model_validate_json(content)
    except ValidationError as error:
        reason = ": ".join(filter(None, describe(error)[0]))
        raise UserError(f"{path}: damaged, or of another version; expected {FORMAT!r}; {reason}") from error
    return head


def blocks(path: Path) -> Iterator[bytes]:
    """Read a file in blocks of BLOCK bytes."""
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            yield block


def checksum(pieces: Iterable[bytes | memoryview]) -> str:
    """Checksum of the concatenated pieces, 16 hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=8)
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()
