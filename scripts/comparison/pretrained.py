"""Resemblyzer's pretrained encoder (the extra `compare`) with classifiers of two kinds behind it.

It hears the same as the others: the recordings as `prepare` trims and levels them, cut at the same places, and then its
own preprocessing.

Letters: N utterances, D width of an embedding, S speakers.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from speakerid.audio.decode import decode
from speakerid.audio.log_mel import trim
from speakerid.config import FeatureConfig
from speakerid.corpus import recordings_table

REGULARISATIONS = (1.0, 100.0, 10_000.0)
"""Inverse strengths that logistic regression is tried with; the validation utterances choose."""
ITERATIONS = 200
"""Of its fit at most; with hundreds of speakers each takes a second."""

Embeddings = NDArray[np.float64]


class Embedder:
    """Embeddings of a corpus's utterances.

    Args:
        root: the corpus.
        features: its settings.
    """

    def __init__(self, root: Path, features: FeatureConfig) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of names that SciPy moves
            from resemblyzer import VoiceEncoder  # pyright: ignore[reportMissingImports]

        self._recordings = recordings_table.read(root)
        self._features = features
        self._encoder = VoiceEncoder("cpu", verbose=False)

    @cached_property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self._encoder.parameters())

    def __call__(self, names: Sequence[str], frames: int | None = None) -> tuple[Embeddings, float]:
        """(N, D) embeddings of the utterances with these feature paths, and the seconds they took without decoding.

        Args:
            names: feature paths.
            frames: only so many from the middle of each utterance; all of them by default.
        """
        from resemblyzer import preprocess_wav  # pyright: ignore[reportMissingImports]

        embeddings, seconds = [], 0.0
        for name in names:
            waveform = self._cut(name, frames)
            began = perf_counter()
            voiced = preprocess_wav(waveform)
            embeddings.append(self._encoder.embed_utterance(voiced if len(voiced) else waveform))
            seconds += perf_counter() - began
        return np.stack(embeddings).astype(np.float64), seconds

    def _cut(self, name: str, frames: int | None) -> NDArray[np.float32]:
        recording = self._recordings[name]
        sound = decode(recording.path, recording.start, recording.end)
        waveform = trim(sound.waveform, sound.sample_rate, self._features)
        if frames is None:
            return waveform
        hop = self._features.hop_length
        first = max(1 + len(waveform) // hop - frames, 0) // 2
        return waveform[first * hop : (first + frames) * hop]


@dataclass(frozen=True)
class Classifier:
    """What was fitted on embeddings: the likeliest of S speakers is that of the highest score.

    Attributes:
        weights: (D, S).
        biases: (S,).
    """

    weights: Embeddings
    biases: Embeddings

    def scores(self, embeddings: Embeddings) -> Embeddings:
        """(N, D) embeddings to (N, S) scores."""
        return embeddings @ self.weights + self.biases

    def predict(self, embeddings: Embeddings) -> NDArray[np.int64]:
        """(N, D) embeddings to (N,) classes."""
        return self.scores(embeddings).argmax(1)

    @property
    def parameters(self) -> int:
        return self.weights.size + self.biases.size


def nearest_centroid(embeddings: Embeddings, labels: NDArray[np.integer]) -> Classifier:
    """The speaker whose mean embedding has the smallest angle.

    Args:
        embeddings: (N, D), of length 1.
        labels: (N,) classes, none of them empty.
    """
    sums = np.zeros((labels.max() + 1, embeddings.shape[1]))
    np.add.at(sums, labels, embeddings)
    return Classifier((sums / np.linalg.norm(sums, axis=1, keepdims=True)).T, np.zeros(len(sums)))


def logistic_regression(
    embeddings: Embeddings, labels: NDArray[np.integer], valid: Embeddings, valid_labels: NDArray[np.integer]
) -> Classifier:
    """With the regularisation that is best on the validation utterances.

    Args:
        embeddings: (N, D).
        labels: (N,) classes, three or more.
        valid: embeddings that choose.
        valid_labels: their classes.
    """

    def fitted(inverse_strength: float) -> Classifier:
        model: Any = LogisticRegression(C=inverse_strength, max_iter=ITERATIONS).fit(embeddings, labels)
        return Classifier(model.coef_.T, model.intercept_)

    tried = [fitted(strength) for strength in REGULARISATIONS]
    return max(tried, key=lambda classifier: float((classifier.predict(valid) == valid_labels).mean()))
