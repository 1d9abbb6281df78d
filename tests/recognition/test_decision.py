"""Probabilities sum to 1 and are fitted; thresholds keep their rates."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from speakerid.recognition.decision import Rule, Thresholds, log_odds
from speakerid.recognition.fitting import fit_probabilities, thresholds_for
from speakerid.recognition.profiles import RANKED, rank

RATES = (0.01, 0.1)


def softmax(scores: np.ndarray, scale: float, unknown: float) -> np.ndarray:
    x = np.exp(scale * np.concatenate([scores, np.full((len(scores), 1), unknown)], 1))
    return (x / x.sum(1, keepdims=True))[:, :-1]


@given(st.integers(0, 1000), st.integers(1, 6), st.floats(1, 40), st.floats(-0.5, 0.9))
def test_speakers_and_a_stranger_share_the_probability(seed: int, speakers: int, scale: float, unknown: float) -> None:
    scores = np.sort(np.random.default_rng(seed).uniform(-1, 1, (5, speakers)), axis=1)[:, ::-1]
    odds = log_odds(scores, scale, unknown)
    assert 1 / (1 + np.exp(-odds)) == pytest.approx(softmax(scores, scale, unknown), abs=1e-9)


def test_what_is_nearly_certain_still_has_an_order() -> None:
    odds = log_odds(np.array([[0.9, 0.1], [0.95, 0.1]]), 50, 0.1)[:, 0]
    assert odds[1] - odds[0] == pytest.approx(2.5, abs=1e-3)


@pytest.mark.parametrize(("unit", "shift"), [(1.0, 0.0), (0.01, 0.0), (30.0, -20.0)])
def test_with_one_score_it_is_logistic_regression(unit: float, shift: float) -> None:
    """For any range of scores: those of a model that has memorized its few recordings are far apart."""
    rng = np.random.default_rng(0)
    same, different = rng.normal(0.5, 0.2, 4000), rng.normal(0.1, 0.2, 4000)
    oracle = LogisticRegression(C=1e9).fit(np.concatenate([same, different])[:, None], np.repeat([1, 0], 4000))
    same, different = unit * same + shift, unit * different + shift
    scale, unknown = fit_probabilities(same[:, None], same, different[:, None])
    assert scale * unit == pytest.approx(oracle.coef_[0, 0], rel=0.02)
    assert (unknown - shift) / unit == pytest.approx(-oracle.intercept_[0] / oracle.coef_[0, 0], abs=0.005)


@given(st.integers(0, 1000), st.integers(2, 30), st.integers(1, 5))
def test_thresholds_let_no_more_strangers_pass_than_asked(seed: int, strangers: int, each: int) -> None:
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(strangers), each)
    odds = rng.normal(size=len(groups)) + rng.normal(size=strangers)[groups]
    for rate, threshold in zip(RATES, thresholds_for(odds, groups, RATES), strict=True):
        by_stranger = [np.mean(odds[groups == stranger] >= threshold) for stranger in range(strangers)]
        assert np.mean(by_stranger) <= rate


def test_many_strangers_are_let_pass_at_the_rate_asked_for() -> None:
    odds = np.random.default_rng(0).normal(size=5000)
    fresh = np.random.default_rng(1).normal(size=50_000)
    for rate, threshold in zip(RATES, thresholds_for(odds, np.arange(5000), RATES), strict=True):
        assert np.mean(fresh >= threshold) == pytest.approx(rate, rel=0.3)


def test_every_stranger_counts_the_same() -> None:
    odds = np.array([3.0] * 98 + [0.0, 1.0])
    groups = np.array([0] * 98 + [1, 2])
    assert thresholds_for(odds, groups, [0.5])[0] == pytest.approx(1, abs=1e-3)  # and not 3, where 98 of 100 lie


def test_between_durations_and_rates_is_interpolated() -> None:
    thresholds = Thresholds(np.array([1.0, 4.0]), np.array([0.01, 1.0]), np.array([[4.0, 0.0], [8.0, 0.0]]))
    assert thresholds.at(2.0, 0.01) == pytest.approx(6)
    assert thresholds.at(1.0, 0.1) == pytest.approx(2)
    assert thresholds.at(0.1, 0.01) == thresholds.at(1.0, 0.01)
    assert thresholds.at(99.0, 0.01) == thresholds.at(4.0, 0.01)
    rule = Rule(np.array([10.0, 20.0]), np.array([0.3, 0.5]), thresholds)
    assert rule.log_odds(np.array([[0.7]]), 2.0)[0, 0] == pytest.approx(15 * (0.7 - 0.4))


def test_utterances_of_several_durations_are_judged_as_each_alone() -> None:
    thresholds = Thresholds(np.array([1.0, 4.0]), np.array([0.01, 1.0]), np.array([[4.0, 0.0], [8.0, 0.0]]))
    rule = Rule(np.array([10.0, 20.0]), np.array([0.3, 0.5]), thresholds)
    seconds, scores = np.array([0.5, 2.0, 3.1]), np.array([[0.9, 0.2], [0.7, 0.6], [0.4, 0.4]])
    alone = [rule.log_odds(row[None], one)[0] for row, one in zip(scores, seconds.tolist(), strict=True)]
    np.testing.assert_allclose(rule.log_odds(scores, seconds), alone)
    np.testing.assert_allclose(thresholds.at(seconds, 0.1), [thresholds.at(one, 0.1) for one in seconds.tolist()])


@given(st.integers(0, 100), st.integers(1, 3 * RANKED))
def test_ranking_is_a_sort(seed: int, speakers: int) -> None:
    scores = np.random.default_rng(seed).normal(size=(3, speakers)).astype(np.float32)
    places, best = rank(scores)
    assert np.array_equal(best, -np.sort(-scores, axis=1)[:, :RANKED])
    assert np.array_equal(np.take_along_axis(scores, places, 1), best)


@pytest.mark.parametrize("noise", [0.0, 1e-12])
def test_scores_that_are_all_the_same_give_a_scale_within_bounds(noise: float) -> None:
    scores = 3.0 + noise * np.random.default_rng(0).normal(size=(20, 4))
    scale, unknown = fit_probabilities(scores, scores[:, 0], scores)
    assert 0 < scale < 1e4
    assert np.isfinite(unknown)
