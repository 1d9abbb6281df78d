"""Pack HW4 files into the packed store, on first use and after a file has changed."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speakerid.base.errors import CorpusError, UserError
from speakerid.base.printing import printable
from speakerid.base.progress import Bar
from speakerid.corpus import feature_file
from speakerid.corpus.store import DType, FrameStore, Store, read_store
from speakerid.corpus.store_writing import replace_parts, sole_writer, write_files
from speakerid.corpus.utterances import PACKED, Corpus, Part, Utterances


def packed_store(
    corpus: Corpus, part: Part, packed: Path | None = None, dtype: DType = "float16", quiet: bool = False
) -> FrameStore:
    """Open the packed features of a corpus; on first use or after a change, check and pack its feature files.

    Args:
        corpus: corpus from `hw4.read`.
        part: part of the corpus to open.
        packed: folder of the packed copy. Default: `packed/` in the corpus, or a temporary folder if the corpus is
            read-only.
        dtype: type of the packed frames.
        quiet: do not report packing.

    Raises:
        CorpusError: lists every feature file that is missing, damaged, of the wrong shape or not finite.
    """
    folder = packed or corpus.root / PACKED
    source = fingerprint(corpus, part, dtype)
    frames = _current(folder, part, source)
    if frames is not None:
        return frames
    if packed is None and not os.access(corpus.root, os.W_OK):
        # The memory map keeps the data until the process ends, after the folder is deleted.
        with tempfile.TemporaryDirectory(prefix="speakerid-") as temporary:
            if not quiet:
                print(
                    f"{printable(corpus.root)} is read-only: packing for this run only; "
                    "data.packed=FOLDER keeps the packed copy"
                )
            return packed_store(corpus, part, Path(temporary), dtype, quiet)
    with sole_writer(folder, quiet):
        frames = _current(folder, part, source)  # another process may have packed it by now
        # Map it inside the lock, before another process can pack it with another dtype.
        return _pack(corpus, part, folder, dtype, source, quiet).frames if frames is None else frames


def _pack(corpus: Corpus, part: Part, folder: Path, dtype: DType, source: str, quiet: bool) -> Store:
    utterances = corpus.part(part)
    frames = int(utterances.lengths.sum())
    size, original = (frames * corpus.features.n_mels * width / 1e9 for width in (np.dtype(dtype).itemsize, 4))
    if not quiet:
        where = printable(folder)
        print(f"Packing {len(utterances)} feature files, {original:.2f} GB, once: {where}, {size:.2f} GB as {dtype}")
    store = write_files(folder, part, corpus, _read(corpus, utterances, quiet), dtype, source)
    replace_parts([store])
    return store


def feature_problems(corpus: Corpus, part: Part) -> list[str]:
    """List the feature files that are missing, damaged, of the wrong shape or not finite, one line each."""
    try:
        for _ in _read(corpus, corpus.part(part)):
            pass
    except CorpusError as error:
        return error.problems
    return []


def _read(corpus: Corpus, utterances: Utterances, quiet: bool = False) -> Iterator[NDArray[np.floating]]:
    """Yield the frames of every valid utterance; at the end raise a CorpusError if some were not valid."""
    problems: list[str] = []
    with Bar("Read features", "utterances", len(utterances), shown=not quiet) as bar:
        for utterance in utterances:
            path = corpus.root / utterance.feature_path
            try:
                features = feature_file.load(path, utterance.length, corpus.features.n_mels)
            except UserError as error:
                problems.append(f"{utterance.feature_path}: {error}")
            else:
                yield features.numpy()
            bar.advance()
    if problems:
        raise CorpusError(corpus.root, problems)


def fingerprint(corpus: Corpus, part: Part, dtype: DType) -> str:
    """Digest of the entries of a part and of the names, sizes and modification times of its feature files."""
    utterances = corpus.part(part)
    digest = hashlib.blake2b(f"{corpus.features.model_dump_json()} {dtype}\n".encode(), digest_size=16)
    digest.update(repr((utterances.speaker_names, utterances.session_names)).encode())
    for column in (utterances.lengths, utterances.speakers, utterances.sessions, utterances.origins):
        digest.update(np.ascontiguousarray(column).data)
    root = str(corpus.root)
    for name in utterances.names:
        try:
            status = os.stat(f"{root}/{name}")
            digest.update(f"{name}:{status.st_size}:{status.st_mtime_ns}\n".encode())
        except OSError:
            digest.update(f"{name}:missing\n".encode())
    return digest.hexdigest()


def _current(folder: Path, part: Part, source: str) -> FrameStore | None:
    """Packed copy if it is undamaged and matches the feature files; else None, because it can be rebuilt from them."""
    try:
        store = read_store(folder, part)
        return store.frames if store.head.source == source else None
    except (FileNotFoundError, NotADirectoryError, UserError):
        return None
