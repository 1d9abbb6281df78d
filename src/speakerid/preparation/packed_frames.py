"""Frames that an earlier preparation left in the packed store, so that they are not computed again.

Shapes: T frames of an utterance, M mel bands.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speakerid.base.errors import UserError
from speakerid.corpus.store import DType, FrameStore, Store, read_store
from speakerid.corpus.utterances import PARTS


class PackedFrames(Mapping[str, NDArray[np.floating]]):
    """(T, M) frames by feature path, memory-mapped; they stay readable when another store replaces this one.

    Damaged utterances are reported and left out. So are parts with HW4 files beside them, which may have been packed
    from files that a user has changed, and parts of float16 if float32 is wanted.

    Args:
        folder: folder of the packed store; it need not exist.
        dtype: type that the frames are wanted in.
    """

    def __init__(self, folder: Path, dtype: DType) -> None:
        self._rows: dict[str, tuple[FrameStore, int]] = {}
        for part in PARTS:
            try:
                store = read_store(folder, part)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except UserError as error:
                print(f"{error}; its utterances are computed again", file=sys.stderr)
                continue
            if store.head.source is None and dtype in ("float16", store.head.dtype):
                self._rows |= _intact(store)

    def __getitem__(self, name: str) -> NDArray[np.floating]:
        store, row = self._rows[name]
        start = store.offsets[row]
        return store.frames[start : start + store.lengths[row]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


def _intact(store: Store) -> dict[str, tuple[FrameStore, int]]:
    """Rows of a part by feature path, without those whose frames differ from their checksum."""
    damaged = {row for _, rows in store.damage() for row in rows}
    if damaged:
        print(f"{store.path}: {len(damaged)} utterances are damaged; they are computed again", file=sys.stderr)
    return {name: (store.frames, row) for row, name in enumerate(store.utterances.names) if row not in damaged}
