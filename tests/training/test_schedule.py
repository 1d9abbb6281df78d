import pytest
from hypothesis import given
from hypothesis import strategies as st

from speakerid.training.schedule import warmup_half_cosine


def test_the_first_step_learns() -> None:
    assert warmup_half_cosine(0, 1000, 70_000) == 1 / 1000


def test_values() -> None:
    assert [warmup_half_cosine(k, 4, 8) for k in range(8)] == pytest.approx(
        [0.25, 0.5, 0.75, 1, 1, 0.853553, 0.5, 0.146447], abs=1e-6
    )


@given(st.integers(0, 50), st.integers(1, 200))
def test_up_then_down(warmup: int, rest: int) -> None:
    factors = [warmup_half_cosine(k, warmup, warmup + rest) for k in range(warmup + rest)]
    assert all(0 < factor <= 1 for factor in factors)
    assert factors[:warmup] == sorted(factors[:warmup])
    assert factors[warmup:] == sorted(factors[warmup:], reverse=True)
    assert warmup_half_cosine(warmup + rest, warmup, warmup + rest) == pytest.approx(0, abs=1e-12)
