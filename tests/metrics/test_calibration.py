import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from speakerid.metrics.calibration import reliability

promises = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1)


@given(promises, st.integers(1, 12))
def test_bins_against_counting(pairs: list[tuple[float, bool]], bins: int) -> None:
    found = reliability(np.array([p for p, _ in pairs]), np.array([came for _, came in pairs]), bins=bins)
    gap = 0.0
    for index in range(bins):
        low, high = found.edges[index], found.edges[index + 1]
        inside = [(p, came) for p, came in pairs if low <= p < high or (index == bins - 1 and p == high)]
        assert found.counts[index] == len(inside)
        if inside:
            predicted, observed = np.mean([p for p, _ in inside]), np.mean([came for _, came in inside])
            assert (found.predicted[index], found.observed[index]) == pytest.approx((predicted, observed))
            gap += abs(predicted - observed) * len(inside) / len(pairs)
        else:
            assert np.isnan(found.predicted[index])
    assert found.expected_calibration_error == pytest.approx(gap)


def test_against_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.random(500) ** 3
    outcomes = rng.random(500) < probabilities
    found = reliability(probabilities, outcomes)
    observed, predicted = calibration_curve(outcomes, probabilities, n_bins=10)
    assert found.observed[found.counts > 0] == pytest.approx(observed)
    assert found.predicted[found.counts > 0] == pytest.approx(predicted)


@given(promises, st.data())
def test_weights_repeat_trials(pairs: list[tuple[float, bool]], data: st.DataObject) -> None:
    probabilities, outcomes = np.array([p for p, _ in pairs]), np.array([came for _, came in pairs])
    counts = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(pairs), max_size=len(pairs)).filter(any)))
    weighted = reliability(probabilities, outcomes, counts)
    repeated = reliability(probabilities.repeat(counts), outcomes.repeat(counts))
    assert weighted.counts.tolist() == repeated.counts.tolist()
    assert weighted.expected_calibration_error == pytest.approx(repeated.expected_calibration_error)
