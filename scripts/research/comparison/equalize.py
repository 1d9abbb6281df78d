"""Channel equalization: standardize every band over all frames of a speaker, which removes constant channel effects.

It needs to know the speaker, so it is for experiments only.

Shapes: N frames of a speaker, T frames of an utterance, M mel bands.
"""

import shutil
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from derived import FramesOf, frames_of
from speakerid.base.files import atomic_folder
from speakerid.base.progress import Bar
from speakerid.corpus.utterances import PARTS, Utterance
from speakerid.preparation import recordings_table
from speakerid.preparation.write import write_corpus

MIN_DEVIATION = 1e-6
"""Smallest standard deviation to divide by."""
Frames = NDArray[np.float32]


def equalize_corpus(source: Path, root: Path) -> None:
    """Write a packed corpus with the equalized features of another packed corpus, labelled and test together.

    Args:
        source: folder of the corpus, whose speakers are all known; packed as float32 to round only once.
        root: folder to write; packed as float16.
    """
    corpus, raw = frames_of(source)
    everything = [utterance for part in PARTS for utterance in corpus.part(part)]
    with atomic_folder(root) as folder:
        write_corpus(replace(corpus, root=folder), equalizer(everything, raw), "packed", "float16")
        shutil.copy(source / recordings_table.NAME, folder)


def equalizer(utterances: Collection[Utterance], raw: FramesOf) -> FramesOf:
    """Function that returns the equalized (T, M) float32 features of an utterance.

    Over all frames of a speaker, every band of them has mean 0 and standard deviation 1.

    Args:
        utterances: all utterances of all speakers.
        raw: returns the (T, M) features of an utterance.
    """
    sums: dict[str, NDArray[np.float64]] = {}
    with Bar("Equalize", "utterances", len(utterances)) as bar:
        for utterance in utterances:
            frames = raw(utterance).astype(np.float64)
            new = np.stack([np.full(frames.shape[1], len(frames)), frames.sum(0), np.square(frames).sum(0)])
            speaker = str(utterance.speaker)
            sums[speaker] = sums[speaker] + new if speaker in sums else new
            bar.advance()
    moments = {speaker: _moments(*rows) for speaker, rows in sums.items()}

    def equalized(utterance: Utterance) -> Frames:
        mean, deviation = moments[str(utterance.speaker)]
        return ((raw(utterance) - mean) / deviation).astype(np.float32)

    return equalized


def _moments(
    count: NDArray[np.float64], total: NDArray[np.float64], squares: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of N frames, from their number, sum and sum of squares."""
    mean = total / count
    variance = np.maximum(squares / count - mean**2, 0) * count / np.maximum(count - 1, 1)
    return mean, np.maximum(np.sqrt(variance), MIN_DEVIATION)
