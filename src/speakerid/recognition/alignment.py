"""Map the embeddings of one model to the space of another that was trained on some of the same recordings.

A model has memorized its training recordings, so how close it puts them to their speakers says nothing about new
recordings. The model of a cross-validation fold has not seen the recordings that its fold held out, but its embeddings
are in a space of their own. A linear map brings them into the space of the other model. It is fitted on recordings that
neither model has memorized: both put memorized recordings close to their speakers, and a map fitted on those would put
everything there.

Shapes: N recordings, D width of the embeddings of the fold's model, E width of the other model's.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RIDGE = 0.07
"""Weight of the penalty, as a share of the mean variance of an axis; a few recordings do not determine D × E numbers.

With a smaller one, mapped strangers look farther from all speakers than they are; with a larger one, closer."""


@dataclass(frozen=True)
class Alignment:
    """An affine map: (x − source_mean) · matrix + target_mean."""

    source_mean: NDArray[np.float64]
    target_mean: NDArray[np.float64]
    matrix: NDArray[np.float64]

    def __call__(self, embeddings: NDArray[np.floating]) -> NDArray[np.float32]:
        """(N, D) to (N, E)."""
        mapped = (embeddings - self.source_mean) @ self.matrix + self.target_mean
        return mapped.astype(np.float32)


def fit_alignment(source: NDArray[np.floating], target: NDArray[np.floating], ridge: float = RIDGE) -> Alignment:
    """Fit the map from one model's embeddings to the other's by ridge regression.

    Args:
        source: (N, D) embeddings of recordings that neither model was trained on.
        target: (N, E) embeddings of the same recordings.
        ridge: see `RIDGE`.
    """
    assert len(source) == len(target), "embeddings of the same recordings"
    x, y = source.astype(np.float64), target.astype(np.float64)
    source_mean, target_mean = x.mean(0), y.mean(0)
    x, y = x - source_mean, y - target_mean
    gram = x.T @ x
    penalty = ridge * np.trace(gram) / len(gram) or 1.0  # a collapsed model: map everything to the mean
    matrix = np.linalg.solve(gram + penalty * np.eye(len(gram)), x.T @ y)
    return Alignment(source_mean, target_mean, matrix)
