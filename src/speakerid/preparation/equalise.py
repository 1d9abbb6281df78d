"""Channel equalization: standardize every band over all frames of a speaker, which removes constant channel effects.

It needs to know the speaker, so it is for experiments only.

Shapes: T frames, M mel bands.
"""

from collections.abc import Callable, Collection

import numpy as np
from numpy.typing import NDArray

from speakerid.base.bars import bar
from speakerid.corpus.utterances import Utterance

MIN_DEVIATION = 1e-6
"""Smallest standard deviation to divide by."""


class Equalizer:
    """Compute equalized features of utterances.

    Args:
        utterances: all utterances of all speakers.
        raw: returns the (T, M) features of an utterance.
    """

    def __init__(self, utterances: Collection[Utterance], raw: Callable[[Utterance], NDArray[np.floating]]) -> None:
        self._raw = raw
        sums: dict[str, NDArray[np.float64]] = {}
        with bar(len(utterances), "Equalise", "utterances") as advance:
            for utterance in utterances:
                frames = raw(utterance).astype(np.float64)
                new = np.stack([np.full(frames.shape[1], len(frames)), frames.sum(0), np.square(frames).sum(0)])
                speaker = str(utterance.speaker)
                sums[speaker] = sums[speaker] + new if speaker in sums else new
                advance(1)
        self._moments = {speaker: _moments(*rows) for speaker, rows in sums.items()}

    def __call__(self, utterance: Utterance) -> NDArray[np.float32]:
        """Equalized features, (T, M) float32: mean 0 and standard deviation 1 over all frames of the speaker."""
        mean, deviation = self._moments[str(utterance.speaker)]
        return ((self._raw(utterance) - mean) / deviation).astype(np.float32)


def _moments(
    count: NDArray[np.float64], total: NDArray[np.float64], squares: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    mean = total / count
    variance = np.maximum(squares / count - mean**2, 0) * count / np.maximum(count - 1, 1)
    return mean, np.maximum(np.sqrt(variance), MIN_DEVIATION)
