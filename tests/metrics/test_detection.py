"""Detection measures compared with simple loops and with scikit-learn."""

import math
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from speakerid.metrics.detection import (
    cllr,
    convex_hull,
    det_curve,
    equal_error_rate,
    error_rates,
    min_cllr,
    min_dcf,
)

Scored = tuple[NDArray[np.float64], NDArray[np.bool_]]


def arrays(pairs: list[tuple[int, bool]]) -> Scored:
    # Integers, so that there are ties; there is at least one trial of each kind.
    pairs = [*pairs, (0, True), (1, False)]
    return np.array([score for score, _ in pairs], float), np.array([target for _, target in pairs])


trials = st.lists(st.tuples(st.integers(-6, 6), st.booleans()), max_size=25).map(arrays)


def balanced(targets: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weights that give both kinds of trials the same total."""
    return np.where(targets, 0.5 / targets.sum(), 0.5 / (~targets).sum())


@given(trials)
def test_the_curve_matches_counting(trials: Scored) -> None:
    scores, targets = trials
    curve = det_curve(scores, targets)
    assert curve.thresholds.tolist() == [*sorted(set(scores)), math.inf]
    for threshold, false_accept, miss in zip(curve.thresholds, curve.false_accepts, curve.misses, strict=True):
        assert false_accept == pytest.approx(sum(scores[~targets] >= threshold) / sum(~targets))
        assert miss == pytest.approx(sum(scores[targets] < threshold) / sum(targets))
        assert error_rates(scores, targets, threshold) == pytest.approx((false_accept, miss))


@given(trials)
def test_the_curve_matches_scikit_learn(trials: Scored) -> None:
    scores, targets = trials
    false_accepts, hits, thresholds = sklearn.metrics.roc_curve(targets, scores, drop_intermediate=False)
    curve = det_curve(scores, targets)
    assert curve.thresholds.tolist() == thresholds[::-1].tolist()
    assert curve.false_accepts == pytest.approx(false_accepts[::-1])
    assert curve.misses == pytest.approx(1 - hits[::-1])


@given(trials)
def test_equal_error_rate_is_the_lowest_crossing_of_all_chords(trials: Scored) -> None:
    curve = det_curve(*trials)
    points = list(zip(curve.false_accepts, curve.misses, strict=True))
    crossings = []
    for (false_a, miss_a), (false_b, miss_b) in product(points, points):
        gap_a, gap_b = miss_a - false_a, miss_b - false_b
        if gap_a <= 0 < gap_b:
            crossings.append(miss_a + (miss_b - miss_a) * -gap_a / (gap_b - gap_a))
    assert equal_error_rate(curve) == pytest.approx(min(crossings))
    assert equal_error_rate(curve) <= 0.5 + 1e-12


def test_equal_error_rates_worked_out() -> None:
    scores, targets = np.array([1.0, 2, 3, 4]), np.array([False, False, True, True])
    assert equal_error_rate(det_curve(scores, targets)) == 0
    assert equal_error_rate(det_curve(-scores, targets)) == 0.5
    assert equal_error_rate(det_curve(0 * scores, targets)) == 0.5
    # Threshold 3 misses one target of two, threshold 2 none with one false accept of three: no threshold is equal.
    scores, targets = np.array([1.0, 1, 2, 2, 3]), np.array([False, False, False, True, True])
    assert equal_error_rate(det_curve(scores, targets)) == pytest.approx(1 / 5)


@given(trials)
def test_the_hull_is_convex_and_below_the_curve(trials: Scored) -> None:
    curve = det_curve(*trials)
    hull = convex_hull(curve)
    slopes = -np.diff(hull.false_accepts) / np.maximum(np.diff(hull.misses), 1e-300)
    assert (np.diff(slopes) <= 1e-9 * slopes[:-1]).all()
    on_hull = np.interp(1 - curve.false_accepts, 1 - hull.false_accepts, hull.misses)
    inside = (curve.false_accepts > 0) & (curve.false_accepts < 1)  # at the ends the hull is upright
    assert (on_hull <= curve.misses + 1e-9)[inside].all()


@given(trials, st.floats(0.01, 0.99), st.floats(0.1, 10), st.floats(0.1, 10))
def test_min_dcf_is_the_lowest_over_all_thresholds(trials: Scored, p: float, miss: float, false_accept: float) -> None:
    scores, targets = trials
    costs = []
    for threshold in [*scores, math.inf]:
        accepted, missed = error_rates(scores, targets, threshold)
        costs.append(miss * p * missed + false_accept * (1 - p) * accepted)
    blind = min(miss * p, false_accept * (1 - p))
    found = min_dcf(det_curve(scores, targets), p, miss, false_accept)
    assert found == pytest.approx(min(costs) / blind)
    assert found <= 1 + 1e-12


@given(trials)
def test_cllr_is_the_log_loss_of_both_kinds_alike(trials: Scored) -> None:
    ratios, targets = trials
    expected = sklearn.metrics.log_loss(targets, 1 / (1 + np.exp(-ratios)), sample_weight=balanced(targets))
    assert cllr(ratios, targets) == pytest.approx(expected / math.log(2))


@given(trials)
def test_min_cllr_is_that_of_isotonic_regression(trials: Scored) -> None:
    scores, targets = trials
    odds = IsotonicRegression().fit(scores, targets, sample_weight=balanced(targets)).predict(scores)
    with np.errstate(divide="ignore"):
        ratios = np.log(odds) - np.log1p(-odds)
    found = min_cllr(det_curve(scores, targets))
    assert found == pytest.approx(cllr(ratios, targets), abs=1e-9)
    assert found <= min(1, cllr(scores, targets)) + 1e-9


def test_uninformative_ratios_cost_one_bit() -> None:
    targets = np.array([True, False, False])
    assert cllr(np.zeros(3), targets) == 1
    assert min_cllr(det_curve(np.zeros(3), targets)) == pytest.approx(1)


@given(trials, st.data())
def test_weights_repeat_trials(trials: Scored, data: st.DataObject) -> None:
    scores, targets = trials
    counts = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(scores), max_size=len(scores))))
    counts[-2:] += 1  # at least one of each kind
    again, kinds = scores.repeat(counts), targets.repeat(counts)
    weighted, repeated = det_curve(scores, targets, counts), det_curve(again, kinds)
    assert weighted.thresholds.tolist() == repeated.thresholds.tolist()
    assert weighted.false_accepts == pytest.approx(repeated.false_accepts)
    assert weighted.misses == pytest.approx(repeated.misses)
    assert cllr(scores, targets, counts) == pytest.approx(cllr(again, kinds))
    assert error_rates(scores, targets, 1.0, counts) == pytest.approx(error_rates(again, kinds, 1.0))


infinite = st.lists(
    st.tuples(st.sampled_from([-math.inf, -1.0, 0.0, 0.0, 2.0, math.inf]), st.booleans()), max_size=12
).map(lambda pairs: [*pairs, (0.0, True), (1.0, False)])


@given(infinite)
def test_infinite_scores_rank_as_large_ones_do(pairs: list[tuple[float, bool]]) -> None:
    scores, targets = np.array([score for score, _ in pairs]), np.array([target for _, target in pairs])
    curve, finite = det_curve(scores, targets), det_curve(np.clip(scores, -99, 99), targets)
    assert curve.false_accepts.tolist() == finite.false_accepts.tolist()
    assert curve.misses.tolist() == finite.misses.tolist()
    for measure in (equal_error_rate, min_dcf, min_cllr):
        assert 0 <= measure(curve) <= 1 + 1e-12
    assert (curve.false_accepts[-1], curve.misses[-1]) == (0, 1)


@given(infinite)
def test_cllr_is_infinite_where_an_infinite_ratio_is_wrong(pairs: list[tuple[float, bool]]) -> None:
    ratios, targets = np.array([score for score, _ in pairs]), np.array([target for _, target in pairs])
    wrong = np.isinf(ratios) & ((ratios > 0) != targets)
    found = cllr(ratios, targets)
    assert found == math.inf if wrong.any() else math.isfinite(found)
    right = cllr(ratios, targets, np.where(wrong, 0, 1))  # trials of weight 0 cost nothing
    assert right == pytest.approx(cllr(ratios[~wrong], targets[~wrong]))


@pytest.mark.parametrize("measure", [det_curve, cllr])
def test_nan_scores_are_refused(measure: Callable[..., object]) -> None:
    with pytest.raises(AssertionError, match="contain NaN"):
        measure(np.array([1.0, math.nan]), np.array([True, False]))


def test_figures_of_the_comparison_with_other_tools() -> None:
    """The figures of docs/figures.md."""
    scores, targets = np.array([1, 1, 0.5, 0.5, 0.5, 0]), np.arange(6) < 3
    assert round(equal_error_rate(det_curve(scores, targets)), 4) == 0.2222
    separated = det_curve(np.array([0.9, 0.8, 0.2, 0.1]), np.arange(4) < 2)
    assert equal_error_rate(separated) == 0
    blind = det_curve(np.zeros(4), np.arange(4) < 2)
    assert min_dcf(blind, 0.01) == 1
    assert round(cllr(np.array([math.log(10), -math.log(10)]), np.array([True, False])), 4) == 0.1375
