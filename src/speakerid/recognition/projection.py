"""Projection of a model's embeddings to voice prints: centering, whitening and normalization to length 1.

It is the same for every encoder, and needs NumPy alone.

Shapes: N recordings, D width of the model's embeddings, E width of a voice print.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speakerid.recognition.plda import Plda, fit_plda, whitening

SMALLEST_LENGTH = 1e-12
"""Shortest vector that is scaled to length 1, as in PyTorch."""


@dataclass(frozen=True)
class Projection:
    """Projection to voice prints, and their distribution.

    Attributes:
        mean: (D,) center of the embeddings.
        whitening: (D, E) matrix, applied from the right.
        plda: distribution of the voice prints.
    """

    mean: NDArray[np.float32]
    whitening: NDArray[np.float32]
    plda: Plda

    def __call__(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Project (N, D) embeddings of the model to (N, E) voice prints."""
        return unit((embeddings - self.mean) @ self.whitening)

    @staticmethod
    def of(weights: Mapping[str, NDArray[np.floating]]) -> Projection:
        """Projection with the weights of a bundle."""
        plda = Plda(float(weights["within"]), weights["between"].astype(np.float64))
        return Projection(weights["mean"], weights["whitening"], plda)

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """Weights as in a bundle."""
        within, between = np.array(self.plda.within, np.float32), self.plda.between.astype(np.float32)
        return {"mean": self.mean, "whitening": self.whitening, "within": within, "between": between}

    @staticmethod
    def fit(embeddings: NDArray[np.float32], speakers: NDArray[np.integer], width: int) -> Projection:
        """Fit a projection.

        Args:
            embeddings: (N, D).
            speakers: (N,).
            width: largest E; of a wider embedding, the axes along which speakers differ most are kept.
        """
        mean = embeddings.mean(0)
        white = whitening(embeddings, speakers)
        axes, plda = fit_plda(unit((embeddings - mean) @ white), speakers)
        if width < len(axes):  # noise along the other axes would contribute to the length
            white = white @ axes[:, -width:]
            axes, plda = fit_plda(unit((embeddings - mean) @ white), speakers)
        return Projection(mean.astype(np.float32), (white @ axes).astype(np.float32), plda)


def unit(vectors: NDArray[np.floating]) -> NDArray[np.floating]:
    """(N, D) vectors scaled to length 1."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(lengths, SMALLEST_LENGTH).astype(vectors.dtype)
