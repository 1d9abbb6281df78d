"""Resemblyzer's pretrained encoder (the extra `compare`) with two kinds of classifiers on top.

It gets the same input as the others: the recordings as trimmed and leveled by `prepare`, cut at the same positions, and
then its own preprocessing.

Shapes: N utterances, D width of an embedding, S speakers.
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

from speakerid import FeatureConfig, decode
from speakerid.audio.log_mel import trim
from speakerid.preparation import recordings_table

REGULARIZATIONS = (1.0, 100.0, 10_000.0)
"""Inverse regularization strengths tried for logistic regression; the validation utterances choose."""
ITERATIONS = 200
"""Largest number of iterations of its fit; with hundreds of speakers each takes a second."""

Embeddings = NDArray[np.float64]


class Embedder:
    """Embeds the utterances of a corpus.

    Args:
        root: folder of the corpus.
        features: settings of its features.
    """

    def __init__(self, root: Path, features: FeatureConfig) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecated names of SciPy
            from resemblyzer import VoiceEncoder  # pyright: ignore[reportMissingImports]

        self._recordings = recordings_table.read(root)
        self._features = features
        self._encoder = VoiceEncoder("cpu", verbose=False)

    @cached_property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self._encoder.parameters())

    def __call__(self, names: Sequence[str], frames: int | None = None) -> tuple[Embeddings, float]:
        """(N, D) embeddings of utterances, and the seconds they took without decoding.

        Args:
            names: feature paths of the utterances.
            frames: number of frames taken from the middle of each utterance; by default all.
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
    """Linear classifier of embeddings.

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
    """Classifier by the cosine to each speaker's mean embedding.

    Args:
        embeddings: (N, D) unit vectors.
        labels: (N,) classes, each at least once.
    """
    sums = np.zeros((labels.max() + 1, embeddings.shape[1]))
    np.add.at(sums, labels, embeddings)
    return Classifier((sums / np.linalg.norm(sums, axis=1, keepdims=True)).T, np.zeros(len(sums)))


def logistic_regression(
    embeddings: Embeddings, labels: NDArray[np.integer], valid: Embeddings, valid_labels: NDArray[np.integer]
) -> Classifier:
    """Fit logistic regression with the regularization that is best on the validation utterances.

    Args:
        embeddings: (N, D).
        labels: (N,) classes, three or more.
        valid: embeddings of the validation utterances.
        valid_labels: their classes.
    """

    def fitted(inverse_strength: float) -> Classifier:
        model: Any = LogisticRegression(C=inverse_strength, max_iter=ITERATIONS).fit(embeddings, labels)
        return Classifier(model.coef_.T, model.intercept_)

    tried = [fitted(strength) for strength in REGULARIZATIONS]
    return max(tried, key=lambda classifier: float((classifier.predict(valid) == valid_labels).mean()))
