"""A corpus written as HW4 files, as the packed store, or as both."""

import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from speakerid.bars import bar
from speakerid.corpus import feature_file, hw4
from speakerid.corpus.packing import fingerprint
from speakerid.corpus.records import PACKED, PARTS, Corpus, Utterance
from speakerid.corpus.store import DType
from speakerid.corpus.store_writing import remove_store, write_store

LayoutOut = Literal["hw4", "packed", "both"]
FramesOf = Callable[[Utterance], NDArray[np.float32]]


def write_corpus(corpus: Corpus, frames: FramesOf, layout: LayoutOut, dtype: DType) -> None:
    """Write a corpus to its root, in place of a former one, which readers that have it open keep.

    Args:
        corpus: what to write, and where.
        frames: the (T, M) features of an utterance.
        layout: what to write; what a former call wrote of the other is removed.
        dtype: of the packed store.

    Raises:
        UserError: the folder cannot be written.
    """
    root = corpus.root
    if layout == "packed":
        hw4.remove(root)
        hw4.write_features_yaml(root, corpus.features)
    else:
        everything = (*corpus.labelled, *corpus.test, *corpus.strangers)
        for utterance, values in _each(everything, frames, "Write"):
            _write_features(root / utterance.feature_path, values, anew=corpus.features.equalise)
        hw4.write(root, corpus)
        hw4.remove_features(root, keep={utterance.feature_path for utterance in everything})
    for part in reversed(PARTS):  # the labelled utterances last: with them the corpus is whole
        utterances = corpus.part(part)
        if layout == "hw4" or not utterances:
            remove_store(root / PACKED, part)
            continue
        source = fingerprint(corpus, part, dtype) if layout == "both" else None
        arrays = (values for _, values in _each(utterances, frames, f"Pack {part}"))
        write_store(root / PACKED, part, corpus, arrays, dtype, source)


def _each(
    utterances: Collection[Utterance], frames: FramesOf, title: str
) -> Iterator[tuple[Utterance, NDArray[np.float32]]]:
    with bar(len(utterances), title, "utterances") as advance:
        for utterance in utterances:
            yield utterance, frames(utterance)
            advance(1)


def _write_features(path: Path, frames: NDArray[np.float32], anew: bool) -> None:
    if not path.exists() or anew:  # the name changes with the recording, but not with its speaker's other ones
        partial = path.with_suffix(".partial")
        feature_file.save(partial, torch.from_numpy(frames))
        os.replace(partial, path)
