"""Adaptive s-norm compared with the formula of the paper."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speakerid.metrics.score_norm import TopCohort, adaptive_s_norm


def nearest(row: list[float], top_k: int, left_out: int) -> list[float]:
    rest = [score for member, score in enumerate(row) if member != left_out]
    return sorted(rest, reverse=True)[:top_k]


rows = st.integers(2, 8).flatmap(
    lambda members: st.lists(
        st.lists(st.integers(-5, 5).map(float), min_size=members, max_size=members), min_size=1, max_size=6
    )
)


@given(rows, st.integers(1, 10), st.data())
def test_statistics_of_the_nearest(scores: list[list[float]], top_k: int, data: st.DataObject) -> None:
    cohort = TopCohort(np.array(scores), top_k)
    for row, values in enumerate(scores):
        left_out = data.draw(st.integers(-1, len(values) - 1))
        mean, deviation = cohort.statistics(np.array([row]), np.array([left_out]))
        expected = nearest(values, min(top_k, len(values) - 1), left_out)
        assert mean == pytest.approx(np.mean(expected))
        assert deviation == pytest.approx(max(np.std(expected), 1e-6), abs=1e-7)
    means, _ = cohort.statistics(np.arange(len(scores)))
    assert means == pytest.approx([np.mean(nearest(row, min(top_k, len(row) - 1), -1)) for row in scores])


def test_a_matrix_of_trials_against_the_formula() -> None:
    rng = np.random.default_rng(0)
    scores, of_tests, of_profiles = rng.normal(size=(5, 3)), rng.normal(size=(5, 9)), rng.normal(size=(3, 9))
    claimed = np.array([4, -1, 0])
    normed = adaptive_s_norm(
        scores,
        TopCohort(of_profiles, 4).statistics(np.arange(3), claimed),
        TopCohort(of_tests, 4).statistics(np.arange(5)[:, None], claimed),
    )
    for test, profile in np.ndindex(5, 3):
        sides = (nearest(row.tolist(), 4, int(claimed[profile])) for row in (of_profiles[profile], of_tests[test]))
        expected = np.mean([(scores[test, profile] - np.mean(side)) / np.std(side) for side in sides])
        assert normed[test, profile] == pytest.approx(expected)


def test_a_shift_of_one_test_utterance_is_removed() -> None:
    rng = np.random.default_rng(1)
    scores, cohort = rng.normal(size=4), rng.normal(size=(4, 20))
    sides = [TopCohort(moved, 5).statistics(np.arange(4)) for moved in (cohort, cohort + 7, 3 * cohort + 7)]
    plain, shifted, stretched = (
        adaptive_s_norm(s, side) for s, side in zip((scores, scores + 7, 3 * scores + 7), sides, strict=True)
    )
    assert shifted == pytest.approx(plain)
    assert stretched == pytest.approx(plain)
