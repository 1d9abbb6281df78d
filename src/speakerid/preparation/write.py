"""Write a corpus as a packed store, as HW4 files, or both."""

from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from speakerid.base.progress import Bar
from speakerid.corpus import feature_file, hw4, unfinished
from speakerid.corpus.packing import fingerprint
from speakerid.corpus.store import DType, Store
from speakerid.corpus.store_writing import remove_store, replace_parts, sole_writer, write_files
from speakerid.corpus.utterances import PACKED, PARTS, Corpus, Utterance

LayoutOut = Literal["hw4", "packed", "both"]
WRITERS = 16
"""Number of threads that write feature files."""
FramesOf = Callable[[Utterance], NDArray[np.floating]]


def write_corpus(
    corpus: Corpus, frames: FramesOf, layout: LayoutOut, dtype: DType, write_extra: Callable[[], None] = lambda: None
) -> None:
    """Write a corpus to its root and replace the old one; readers keep the files that they have open.

    The old corpus stays valid during most of the work. While the small files are replaced, the corpus is marked as
    unfinished.

    Args:
        corpus: corpus to write, with its folder.
        frames: returns the (T, M) features of an utterance.
        layout: what to write; existing files of the other layout are removed.
        dtype: type of the packed store.
        write_extra: replaces other files of the corpus.

    Raises:
        UserError: the folder cannot be written.
    """
    root = corpus.root
    everything = (*corpus.labelled, *corpus.test, *corpus.strangers)
    if layout != "packed":
        _write_features(root, everything, frames)
    with sole_writer(root / PACKED) if layout != "hw4" or (root / PACKED).is_dir() else nullcontext():
        stores = [] if layout == "hw4" else list(_pack(corpus, frames, dtype, beside_files=layout == "both"))
        unfinished.mark(root)
        write_extra()
        if layout == "packed":
            hw4.remove(root)
            hw4.write_features_yaml(root, corpus.features)
        else:
            hw4.write(root, corpus)
            hw4.remove_features(root, keep={utterance.feature_path for utterance in everything})
        replace_parts(stores, all_parts=True)
        for part in PARTS:
            if layout == "hw4" or not corpus.part(part):
                remove_store(root / PACKED, part)
        unfinished.unmark(root)


def _write_features(root: Path, utterances: Collection[Utterance], frames: FramesOf) -> None:
    def write(one: tuple[Utterance, NDArray[np.floating]]) -> None:
        feature_file.update(root / one[0].feature_path, torch.from_numpy(one[1]))

    # Every file is synced before it is renamed; disks sync several files in the time of one.
    with ThreadPoolExecutor(WRITERS) as pool:
        each = _each(utterances, frames, "Write")
        while batch := list(islice(each, 16 * WRITERS)):
            for _ in pool.map(write, batch):
                pass


def _pack(corpus: Corpus, frames: FramesOf, dtype: DType, beside_files: bool) -> Iterator[Store]:
    for part in reversed(PARTS):  # labelled last: they complete the corpus
        if utterances := corpus.part(part):
            source = fingerprint(corpus, part, dtype) if beside_files else None
            arrays = (values for _, values in _each(utterances, frames, f"Pack {part}"))
            yield write_files(corpus.root / PACKED, part, corpus, arrays, dtype, source)


def _each(
    utterances: Collection[Utterance], frames: FramesOf, title: str
) -> Iterator[tuple[Utterance, NDArray[np.floating]]]:
    with Bar(title, "utterances", len(utterances)) as bar:
        for utterance in utterances:
            yield utterance, frames(utterance)
            bar.advance()
