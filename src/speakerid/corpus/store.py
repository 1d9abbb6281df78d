"""All frames of a corpus in one memory-mapped file, so that a batch is one gather and memory stays flat.

Letters: N utterances, F frames of all of them, M mel bands.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from speakerid.corpus import hw4
from speakerid.corpus.records import Corpus, Utterance
from speakerid.errors import CorpusError, UserError
from speakerid.files import atomic_file


@dataclass(frozen=True)
class FrameStore:
    """Features of N utterances behind one another."""

    frames: NDArray[np.float32]
    """(F, M)."""
    offsets: NDArray[np.int64]
    """(N,) first frame of each utterance."""
    lengths: NDArray[np.int64]
    """(N,) frames of each utterance."""

    def __len__(self) -> int:
        return len(self.lengths)

    def utterance(self, index: int) -> Tensor:
        """(T, M) float32 features of one utterance, a copy."""
        start = self.offsets[index]
        return torch.from_numpy(np.array(self.frames[start : start + self.lengths[index]]))


def open_store(corpus: Corpus, part: Literal["labelled", "test"], packed: Path | None = None) -> FrameStore:
    """The packed features of a corpus; packed, and every feature file checked, on first use or after a change.

    Args:
        corpus: from `hw4.read`.
        part: which of its utterances.
        packed: folder of the packed copy; by default `packed/` in the corpus, or a temporary one where
            the corpus cannot be written.

    Raises:
        CorpusError: listing every feature file that is missing, damaged, of the wrong shape or not finite.
    """
    utterances = corpus.labelled if part == "labelled" else corpus.test
    folder = packed or corpus.root / "packed"
    fingerprint = _fingerprint(corpus, utterances)
    frames_path, index_path = folder / f"{part}.frames", folder / f"{part}.json"
    if not _is_current(frames_path, index_path, fingerprint):
        if packed is None and not os.access(corpus.root, os.W_OK):
            # Kept open by nobody: the mapping below holds the data until the process ends.
            with tempfile.TemporaryDirectory(prefix="speakerid-") as temporary:
                print(
                    f"{corpus.root} is read-only: packing for this run only; data.packed=FOLDER keeps the packed copy"
                )
                return open_store(corpus, part, Path(temporary))
        _pack(corpus, utterances, frames_path, index_path, fingerprint)
    lengths = np.array([utterance.length for utterance in utterances], dtype=np.int64)
    shape = (int(lengths.sum()), corpus.features.n_mels)
    frames = (
        np.memmap(frames_path, np.float32, "r", shape=shape) if len(lengths) else np.empty((0, shape[1]), np.float32)
    )
    return FrameStore(frames, np.cumsum(lengths) - lengths, lengths)


def _fingerprint(corpus: Corpus, utterances: tuple[Utterance, ...]) -> str:
    """Changes when an entry, or the size or time of a feature file, changes."""
    digest = hashlib.blake2b(str(corpus.features.n_mels).encode(), digest_size=16)
    root = str(corpus.root)
    for utterance in utterances:
        try:
            status = os.stat(f"{root}/{utterance.feature_path}")
            digest.update(
                f"{utterance.feature_path}:{utterance.length}:{status.st_size}:{status.st_mtime_ns}\n".encode()
            )
        except OSError:
            digest.update(f"{utterance.feature_path}:missing\n".encode())
    return digest.hexdigest()


def _is_current(frames_path: Path, index_path: Path, fingerprint: str) -> bool:
    try:
        index = json.loads(index_path.read_text(encoding="utf-8"))
        return index["fingerprint"] == fingerprint and index["bytes"] == frames_path.stat().st_size
    except (OSError, ValueError, KeyError, TypeError):
        return False


def feature_problems(corpus: Corpus, utterances: tuple[Utterance, ...]) -> list[str]:
    """One line for every feature file that is missing, damaged, of the wrong shape or not finite."""
    return _copy(corpus, utterances, lambda _: None)


def _copy(corpus: Corpus, utterances: tuple[Utterance, ...], write: Callable[[bytes], object]) -> list[str]:
    """Hand the frames of every sound utterance to `write`; a line for each of the others."""
    problems = []
    for utterance in tqdm(utterances, "Read features", ncols=0, unit=" uttr"):
        try:
            path = corpus.root / utterance.feature_path
            features = hw4.load_features(path, utterance.length, corpus.features.n_mels)
            write(features.numpy().tobytes())
        except UserError as error:
            problems.append(f"{utterance.feature_path}: {error}")
    return problems


def _pack(
    corpus: Corpus, utterances: tuple[Utterance, ...], frames_path: Path, index_path: Path, fingerprint: str
) -> None:
    with atomic_file(frames_path) as partial:
        with partial.open("wb") as file:
            problems = _copy(corpus, utterances, file.write)
        if problems:
            raise CorpusError(corpus.root, problems)
        size = partial.stat().st_size
    with atomic_file(index_path) as partial:
        partial.write_text(json.dumps({"fingerprint": fingerprint, "bytes": size}), encoding="utf-8")
