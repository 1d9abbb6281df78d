"""What recognition computes itself, since SciPy and scikit-learn are large, is what these compute."""

from typing import Any

import fastcluster
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import fft, optimize
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from sklearn.cluster import KMeans

from speakerid.recognition.diarization import CLUSTERS, _first_clusters
from speakerid.recognition.k_means import k_means
from speakerid.recognition.minimize import minimize
from speakerid.recognition.plda import Plda

BOUNDS = [(-2.0, 2.0), (-3.0, 3.0)]


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.floats(0, 3))
def test_the_minimum_is_that_of_scipy(seed: int, far: float) -> None:
    """Oracle: L-BFGS-B on a strictly convex function, whose minimum may be outside the bounds."""
    rng = np.random.default_rng(seed)
    root, center = rng.normal(size=(2, 2)), rng.normal(0, far, 2)
    matrix = root @ root.T + 0.1 * np.eye(2)

    def loss(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
        off = x - center
        quartic = off**3
        return (
            float(off @ matrix @ off + (off**4).sum()),
            2 * matrix @ off + 4 * quartic,
            2 * matrix + np.diag(12 * off**2),
        )

    start = np.array([1.0, -1.0])
    exact = optimize.minimize(
        lambda x: loss(x)[:2], start, jac=True, method="L-BFGS-B", bounds=BOUNDS, options={"ftol": 1e-15, "gtol": 1e-10}
    )
    np.testing.assert_allclose(minimize(loss, start, BOUNDS), exact.x, atol=1e-5)


@settings(deadline=None, max_examples=20)
@given(st.integers(4, 60), st.integers(0, 10_000))
def test_k_means_is_as_good_as_that_of_scikit_learn(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    points, weights = rng.normal(size=(count, 8)) + 2 * rng.integers(0, 3, (count, 1)), rng.integers(1, 5, count)
    means, groups = k_means(points, weights, 3)
    assert set(groups) == {0, 1, 2}
    inertia = float((weights * ((points - means[groups]) ** 2).sum(1)).sum())
    exact: Any = KMeans(3, n_init="auto", random_state=0).fit(points, sample_weight=weights)
    assert inertia <= 1.05 * exact.inertia_ + 1e-9
    for group in range(3):
        mean = np.average(points[groups == group], axis=0, weights=weights[groups == group])
        np.testing.assert_allclose(means[group], mean, atol=1e-9)


@pytest.mark.parametrize("count", [1, 2, CLUSTERS, CLUSTERS + 1, 150])
def test_first_clusters_are_those_of_scipy(count: int) -> None:
    plda = Plda(0.05, np.linspace(0.2, 0.05, 8))
    prints = np.random.default_rng(count).normal(size=(count, 8))
    found = _first_clusters(prints, plda)
    assert set(found) == set(range(min(count, CLUSTERS)))
    if count > CLUSTERS:
        scores = plda.score_all_pairs(prints)
        distances = squareform(scores.max() - scores, checks=False)
        np.testing.assert_allclose(fastcluster.linkage(distances, "average"), linkage(distances, "average"))
        exact = fcluster(linkage(distances, "average"), CLUSTERS, "maxclust")
        assert len({*zip(found.tolist(), exact.tolist(), strict=True)}) == CLUSTERS


def test_the_transform_without_scipy_is_the_same() -> None:
    x = np.random.default_rng(0).normal(size=(30, 400)).astype(np.float32)
    np.testing.assert_allclose(np.fft.rfft(x).astype(np.complex64), fft.rfft(x), atol=1e-4)
