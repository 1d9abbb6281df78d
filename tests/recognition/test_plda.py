"""Scores are ratios of normal densities, and fitting recovers a model from samples of it.

Shapes: N voice prints, D width, S speakers.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from speakerid.recognition.plda import Plda, fit_plda, whitening

WIDTH = 4


def a_plda(seed: int = 0) -> Plda:
    rng = np.random.default_rng(seed)
    return Plda(float(rng.uniform(0.1, 2)), rng.uniform(0.1, 3, WIDTH))


def log_density(prints: np.ndarray, plda: Plda) -> float:
    """Log-density of (N, D) voice prints of one speaker of unknown mean, computed as one normal vector."""
    count = len(prints)
    covariance = np.kron(np.ones((count, count)), np.diag(plda.between)) + plda.within * np.eye(count * WIDTH)
    return float(multivariate_normal(np.zeros(count * WIDTH), covariance).logpdf(prints.ravel()))


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 6), st.integers(0, 1000))
def test_a_score_is_the_ratio_of_written_out_densities(count: int, seed: int) -> None:
    plda, rng = a_plda(seed), np.random.default_rng(seed)
    clips, heard = rng.normal(size=(count, WIDTH)), rng.normal(size=WIDTH)
    together = log_density(np.vstack([clips, heard]), plda)
    expected = (together - log_density(clips, plda) - log_density(heard[None], plda)) / WIDTH
    slopes, offsets = plda.lines(clips.mean(0)[None, None], np.array([count]))
    found = slopes[0, 0] @ heard + offsets[0, 0] + plda.curvatures(np.array([count]))[0] @ heard**2
    assert found == pytest.approx(expected, abs=1e-9)


def test_a_pair_is_a_speaker_known_from_one_clip_in_either_order() -> None:
    plda, rng = a_plda(), np.random.default_rng(1)
    first, second = rng.normal(size=(2, 5, WIDTH))
    found = plda.score_pairs(first, second)
    assert found == pytest.approx(plda.score_pairs(second, first))
    for one, other, score in zip(first, second, found, strict=True):
        ratio = log_density(np.stack([one, other]), plda) - sum(log_density(x[None], plda) for x in (one, other))
        assert score == pytest.approx(ratio / WIDTH)


def test_who_is_known_from_few_clips_is_looked_for_in_a_wider_circle() -> None:
    plda = Plda(1.0, np.ones(WIDTH))
    away = np.full(WIDTH, 1.7)
    one, many = (
        slopes[0, 0] @ away + offsets[0, 0] + curvatures[0] @ away**2
        for slopes, offsets, curvatures in (
            (*plda.lines(np.zeros((1, 1, WIDTH)), np.array([count])), plda.curvatures(np.array([count])))
            for count in (1, 20)
        )
    )
    assert one > many


def drawn(speakers: int, each: int, between: np.ndarray, within: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N, D) voice prints along rotated axes, (N,) their speakers, and the (D, D) axes."""
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.normal(size=(WIDTH, WIDTH)))[0]
    places = rng.normal(size=(speakers, WIDTH)) * np.sqrt(between)
    x = places.repeat(each, 0) + np.sqrt(within) * rng.normal(size=(speakers * each, WIDTH))
    return x @ axes, np.arange(speakers).repeat(each), axes


def test_what_was_drawn_from_a_model_is_found_again() -> None:
    between = np.array([0.2, 0.8, 2.0, 5.0])
    prints, labels, truth = drawn(3000, 4, between, 0.7)
    axes, plda = fit_plda(prints, labels)
    assert plda.within == pytest.approx(0.7, rel=0.03)
    assert plda.between == pytest.approx(between, rel=0.1, abs=0.03)
    assert np.abs(truth @ axes) == pytest.approx(np.eye(WIDTH), abs=0.1)


def test_few_speakers_make_the_axes_more_alike() -> None:
    between = np.array([0.2, 0.8, 2.0, 5.0])
    few, many = (fit_plda(*drawn(count, 50, between, 0.7)[:2])[1].between for count in (3, 3000))
    assert few.min() > few.mean() / 3
    assert many.min() < many.mean() / 5


def test_a_model_that_tells_nobody_apart_and_one_clip_each_do_no_harm() -> None:
    noise = np.random.default_rng(0).normal(size=(40, WIDTH))
    for labels in (np.arange(40) % 8, np.arange(40)):
        axes, plda = fit_plda(noise @ whitening(noise, labels), labels)
        assert np.isfinite(axes).all()
        assert plda.within > 0
        assert (plda.between > 0).all()
        assert np.isfinite(plda.score_pairs(noise, noise[::-1])).all()


def test_white_is_the_same_in_every_direction_within_speakers() -> None:
    prints, labels, _ = drawn(400, 20, np.ones(WIDTH), 0.7)
    skewed = prints * np.array([1.0, 1.5, 0.7, 2.0])
    white = skewed @ whitening(skewed, labels)
    means = np.stack([white[labels == speaker].mean(0) for speaker in range(400)])
    covariance = np.cov((white - means[labels]).T)
    assert covariance / covariance[0, 0] == pytest.approx(np.eye(WIDTH), abs=0.06)


@pytest.mark.parametrize("speakers", [1, 2, 9])
def test_speakers_who_repeat_one_recording_have_a_model(speakers: int) -> None:
    prints = np.random.default_rng(0).normal(size=(speakers, 6)).repeat(4, 0)
    prints /= np.linalg.norm(prints, axis=1, keepdims=True)
    _, plda = fit_plda(prints, np.arange(speakers).repeat(4))
    assert plda.within > 0
    assert (plda.between > 0).all()
    assert np.isfinite(plda.score_pairs(prints[0], prints[-1]))


def test_scores_of_all_pairs_are_those_of_each() -> None:
    rng = np.random.default_rng(0)
    prints, plda = rng.normal(size=(5, 4)), Plda(0.3, np.array([1.0, 0.5, 0.1, 0.01]))
    expected = [plda.score_pairs(one, prints) for one in prints]
    np.testing.assert_allclose(plda.score_all_pairs(prints), expected)
