"""Windows of one voice are clustered, whether it is known or not."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from speakerid.recognition.diarization import clusters_of, forward_backward
from speakerid.recognition.plda import Plda

WIDTH = 16
PLDA = Plda(within=0.02, between=np.linspace(0.1, 0.01, WIDTH))


def windows(turns: list[tuple[int, int]], seed: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Voice prints of turns, each a voice and a number of windows, drawn from the model; and each window's voice."""
    rng = np.random.default_rng(seed)
    voices = rng.normal(0, np.sqrt(PLDA.between), (1 + max(voice for voice, _ in turns), WIDTH))
    labels = np.repeat([voice for voice, _ in turns], [count for _, count in turns])
    return voices[labels] + rng.normal(0, np.sqrt(PLDA.within), (len(labels), WIDTH)), labels


@pytest.mark.parametrize("seed", range(3))
def test_windows_of_a_voice_are_together(seed: int) -> None:
    prints, labels = windows([(0, 20), (1, 30), (0, 12), (2, 25), (1, 15), (2, 10), (0, 18)], seed)
    found = clusters_of(prints, PLDA)
    pure = sum(np.bincount(labels[found == cluster]).max() for cluster in np.unique(found))
    whole = sum(np.bincount(found[labels == voice]).max() for voice in np.unique(labels))
    assert pure >= 0.95 * len(labels)
    assert whole >= 0.9 * len(labels)


@given(st.integers(1, 40), st.floats(0, 100), st.integers(0, 2**32 - 1))
def test_clusters_have_no_gaps(count: int, spread: float, seed: int) -> None:
    found = clusters_of(np.random.default_rng(seed).normal(0, spread, (count, WIDTH)), PLDA)
    assert len(found) == count
    assert np.unique(found).tolist() == list(range(found.max() + 1))


def test_windows_that_are_all_the_same_are_of_one_voice() -> None:
    window = np.full(WIDTH, 0.1, np.float32)
    assert clusters_of(window[None], PLDA).tolist() == [0]
    assert clusters_of(np.tile(window, (30, 1)), PLDA).tolist() == [0] * 30


@given(st.integers(1, 5), st.integers(1, 3), st.floats(0.05, 0.95), st.integers(0, 2**32 - 1))
def test_forward_and_backward_sum_over_all_paths(length: int, states: int, stay: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, priors = rng.normal(0, 3, (length, states)), rng.dirichlet(np.ones(states))
    steps = stay * np.eye(states) + (1 - stay) * priors
    expected, total = np.zeros((length, states)), 0.0
    for path in itertools.product(range(states), repeat=length):
        moves = np.prod([steps[a, b] for a, b in itertools.pairwise(path)])
        likelihood = priors[path[0]] * moves * np.exp(sum(scores[row, state] for row, state in enumerate(path)))
        expected[np.arange(length), path] += likelihood
        total += likelihood
    shares, drawn, evidence = forward_backward(scores, priors, stay)
    np.testing.assert_allclose(shares, expected / total, atol=1e-9)
    assert evidence == pytest.approx(np.log(total))
    assert drawn.sum() == pytest.approx(1)


def test_impossible_windows_are_survived() -> None:
    scores = np.array([[0.0, -1e4], [-1e4, 0.0], [0.0, -1e4]])
    shares, drawn, evidence = forward_backward(scores, np.array([1.0, 0.0]), 0.95)
    assert np.isfinite(shares).all()
    assert np.isfinite(drawn).all()
    assert np.isfinite(evidence)
