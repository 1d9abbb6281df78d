"""Write the parts of a packed store; `store.py` describes the format.

Shapes: N utterances, T frames, M mel bands.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from speakerid.base.errors import UserError
from speakerid.base.files import atomic_file, remove_partials
from speakerid.base.locks import file_lock
from speakerid.corpus.store import BLOCK, FORMAT, ROW, DType, Head, Store, checksum, head_content
from speakerid.corpus.utterances import Corpus, Part, Utterances


@contextmanager
def sole_writer(folder: Path, quiet: bool = True) -> Iterator[None]:
    """Lock a folder of stores while the block runs, and remove partial files of killed processes.

    Args:
        folder: folder of the stores, created if it does not exist.
        quiet: do not report waiting for another process.

    Raises:
        UserError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror}") from error
    with ExitStack() as stack:
        try:
            stack.enter_context(file_lock(folder / "lock"))
        except UserError:
            if not quiet:
                print(f"{folder}: waiting for another process that packs the same corpus")
            stack.enter_context(file_lock(folder / "lock", wait=True))
        remove_partials(folder)
        yield


def write_store(
    folder: Path,
    part: Part,
    corpus: Corpus,
    frames: Iterable[NDArray[np.floating]],
    dtype: DType,
    source: str | None = None,
) -> Store:
    """Write one part of a store; the old part stays valid until the new one is complete.

    Args:
        folder: folder of the store, created if it does not exist.
        part: part of the corpus to write.
        corpus: corpus with the utterances.
        frames: (T, M) features of each of the part's utterances, in order.
        dtype: type on disk. float16 has a relative rounding error of at most 1/2,048 (0.008 at the floor of a log-mel).
        source: see `Head.source`.

    Raises:
        UserError: the folder cannot be written, or a value exceeds the range of float16.
    """
    with sole_writer(folder):
        store = write_files(folder, part, corpus, frames, dtype, source)
        replace_parts([store])
    return store


def write_files(
    folder: Path,
    part: Part,
    corpus: Corpus,
    frames: Iterable[NDArray[np.floating]],
    dtype: DType,
    source: str | None = None,
) -> Store:
    """Write the files of one part next to those of the old store, which `replace_parts` then replaces.

    Call it inside `sole_writer`; for the arguments, see `write_store`.
    """
    path, new = folder / f"{part}.json", folder / f"{part}-new.frames"
    blocks = _write_frames(new, frames, dtype, path)
    utterances = corpus.part(part)
    rows = _index(utterances).tobytes()
    names = "".join(f"{name}\n" for name in utterances.names).encode()
    assert names.count(b"\n") == len(utterances), "a line break in a feature path"
    checksums = {"blocks": blocks, "index": checksum([rows]), "names": checksum([names])}
    head = Head(
        format=FORMAT,
        features=corpus.features,
        dtype=dtype,
        utterances=len(utterances),
        frames=int(utterances.lengths.sum()),
        digest=hashlib.blake2b(repr(checksums).encode(), digest_size=16).hexdigest(),
        **checksums,
        source=source,
        speakers=corpus.speakers,
        speaker_names=utterances.speaker_names,
        sessions=utterances.session_names,
    )
    store = Store(path, head)
    assert new.stat().st_size == head.frames * store.frame_bytes, "frames and lengths differ"
    new.replace(store.file("frames"))
    for kind, content in (("index", rows), ("names", names)):
        with atomic_file(store.file(kind)) as partial:
            partial.write_bytes(content)
    # Verify what was written before it replaces the old store.
    store.check()
    if problems := store.verify():
        raise UserError(f"{store.path}: was not written correctly: {problems[0]}; check the disk")
    return store


def replace_parts(stores: Sequence[Store], all_parts: bool = False) -> None:
    """Replace the old parts by new ones, in order, and remove the old files.

    Args:
        stores: new parts from `write_files`.
        all_parts: whether these are all parts of a corpus, which are valid only together.
    """
    heads = [store.head for store in stores]
    if all_parts:
        corpus = checksum(head.model_dump_json().encode() for head in heads)
        heads = [head.model_copy(update={"corpus": corpus}) for head in heads]
    for store, head in zip(stores, heads, strict=True):
        with atomic_file(store.path) as partial:
            partial.write_bytes(head_content(head))
    for store in stores:
        _remove_files(store.path, {store.file(kind) for kind in ("frames", "index", "names")})


def remove_store(folder: Path, part: Part) -> None:
    """Remove one part of a store, if there is one."""
    (folder / f"{part}.json").unlink(missing_ok=True)
    _remove_files(folder / f"{part}.json")


def _remove_files(head: Path, kept: Collection[Path] = ()) -> None:
    """Remove the files of a part, except those in `kept`."""
    for path in head.parent.glob(f"{head.stem}-*"):
        if path not in kept:
            path.unlink()


def _index(utterances: Utterances) -> NDArray[np.void]:
    lengths = np.asarray(utterances.lengths, np.int64)
    index = np.empty(len(utterances), ROW)
    index["offset"], index["length"] = np.cumsum(lengths) - lengths, lengths
    index["speaker"], index["session"] = utterances.speakers, utterances.sessions
    index["origin"] = utterances.origins
    return index


def _write_frames(new: Path, frames: Iterable[NDArray[np.floating]], dtype: DType, path: Path) -> str:
    """Write frames to a file; return the checksums of its blocks."""
    checksums = ""
    with atomic_file(new) as partial, partial.open("wb") as file:
        for block in _blocks(frames, dtype, path):
            checksums += checksum([block])
            file.write(block)
    return checksums


def _blocks(frames: Iterable[NDArray[np.floating]], dtype: DType, path: Path) -> Iterator[memoryview]:
    """Yield the bytes of all frames in blocks of BLOCK bytes, the last one shorter. A block is valid until the next."""
    block = torch.empty(BLOCK // np.dtype(dtype).itemsize, dtype=getattr(torch, dtype))
    content, filled = block.numpy().data.cast("B"), 0
    for array in frames:
        # torch rounds to float16 several times as fast as NumPy; it needs writable memory.
        values = torch.from_numpy(np.require(array, requirements=["C", "W"])).flatten()
        while len(values):
            some = values[: len(block) - filled]
            block[filled : filled + len(some)] = some
            # Rounding is monotonic, so checking the extremes is enough.
            if not torch.stack(some.aminmax()).to(block.dtype).isfinite().all():
                raise UserError(f"{path}: a feature is beyond the range of {dtype}; pack as float32")
            filled, values = filled + len(some), values[len(some) :]
            if filled == len(block):
                yield content
                filled = 0
    if filled:
        yield content[: filled * block.itemsize]
