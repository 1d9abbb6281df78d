"""Sources of the corpora of several studies: synthetic voices, tables of recordings, and parts of other corpora."""

import csv
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speakerid import open_corpus
from speakerid.base.files import atomic_file
from speakerid.corpus.store import FrameStore
from speakerid.corpus.utterances import PARTS, Corpus, Utterance
from speakerid.demo.corpus import UTTERANCES, write_demo_corpus
from speakerid.preparation.sources.recordings import Recording

FramesOf = Callable[[Utterance], NDArray[np.float32]]


def voices(folder: Path, speakers: int, workers: int | None, utterances: int = UTTERANCES) -> Path:
    """Folder with recordings of synthetic voices, with a folder per speaker and session; written once.

    Args:
        folder: folder to write.
        speakers: number of voices.
        workers: number of processes; by default one per core.
        utterances: number of recordings of each session.
    """
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as features:  # not needed; computed from the recordings
            write_demo_corpus(Path(features) / "corpus", speakers, utterances=utterances, workers=workers, wav=folder)
    return folder


def write_table(path: Path, recordings: Iterable[Recording]) -> None:
    """Write the recordings as a table that `prepare` reads."""
    with (
        atomic_file(path) as partial_path,
        partial_path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        rows = csv.writer(file)
        rows.writerow(["path", "speaker", "session", "start", "end"])
        for one in recordings:
            rows.writerow([one.path.absolute(), one.speaker, one.session, one.start, one.end])


def frames_of(root: Path) -> tuple[Corpus, FramesOf]:
    """Open all parts of a corpus, and return a function that reads the (T, M) frames of an utterance."""
    corpus = open_corpus(root)[0]
    rows: dict[str, tuple[FrameStore, int]] = {}
    for part in PARTS:
        if utterances := corpus.part(part):
            store = open_corpus(root, part)[1]
            rows |= {name: (store, row) for row, name in enumerate(utterances.names)}

    def frames(utterance: Utterance) -> NDArray[np.float32]:
        store, row = rows[utterance.feature_path]
        return store.utterance(row).numpy()

    return corpus, frames
