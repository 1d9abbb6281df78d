import numpy as np
import pytest

from speakerid.evaluation import embedding_map as module
from speakerid.evaluation.embedding_map import EmbeddingMap, embedding_map

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(("count", "method"), [(2, "principal components"), (60, "t-SNE")])
def test_the_map_is_reproducible_and_keeps_neighbors(count: int, method: str) -> None:
    labels = np.arange(count) % 2
    embeddings = RNG.normal(size=(count, 5)) + 20 * labels[:, None]
    first, again = (embedding_map(embeddings, labels, "ab") for _ in range(2))
    assert isinstance(first, EmbeddingMap)
    assert isinstance(again, EmbeddingMap)
    assert first.method == method
    assert np.array_equal(first.points, again.points)
    of_a, of_b = (first.points[labels == label] for label in (0, 1))
    between = np.linalg.norm(of_a.mean(0) - of_b.mean(0))
    assert between > 2 * max(np.linalg.norm(side - side.mean(0), axis=1).mean() for side in (of_a, of_b))


def test_of_many_embeddings_some_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_POINTS", 10)
    found = embedding_map(RNG.normal(size=(50, 4)), np.arange(50), [str(n) for n in range(50)])
    assert isinstance(found, EmbeddingMap)
    assert len(found.points) == len(set(found.labels)) == 10
