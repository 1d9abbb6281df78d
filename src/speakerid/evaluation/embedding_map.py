"""Two-dimensional map of embeddings.

Shapes: N utterances, D width of an embedding.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from speakerid.evaluation.results import EmbeddingMap
from speakerid.evaluation.sufficiency import NotMeasured, no_map

MOST_POINTS = 1_000
"""Largest number of embeddings in the map."""
FEWEST_POINTS = 30
"""Smallest number of embeddings for t-SNE; with fewer, principal components are used."""


def embedding_map(
    embeddings: NDArray[np.floating], labels: NDArray[np.integer], speakers: Sequence[str], seed: int = 0
) -> EmbeddingMap | NotMeasured:
    """Map embeddings to the plane by t-SNE (van der Maaten and Hinton, 2008).

    Args:
        embeddings: (N, D), finite; `MOST_POINTS` of them are drawn if there are more.
        labels: (N,) indices into `speakers`, negative for strangers.
        speakers: names of the speakers.
        seed: seed of the draw; t-SNE is initialized with the principal components and is not random.
    """
    if len(embeddings) > MOST_POINTS:
        drawn = np.sort(np.random.default_rng(seed).choice(len(embeddings), MOST_POINTS, replace=False))
        embeddings, labels = embeddings[drawn], labels[drawn]
    if missing := no_map(embeddings):
        return missing
    if len(embeddings) < FEWEST_POINTS:
        points, method = PCA(2, svd_solver="full").fit_transform(embeddings), "principal components"
    else:
        perplexity = min(30.0, len(embeddings) / 4)
        tsne = TSNE(perplexity=perplexity, init="pca", learning_rate="auto", random_state=seed)
        points, method = tsne.fit_transform(embeddings), "t-SNE"
    return EmbeddingMap(points.astype(np.float64), labels, tuple(speakers), method)
