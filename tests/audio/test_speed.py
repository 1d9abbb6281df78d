"""A change of speed scales length and pitch, and changes nothing else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from speakerid.audio.speed import SPEEDS, at_speed

RATE = 16_000


def tone(hertz: float, rate: int = RATE) -> NDArray[np.float32]:
    return (0.1 * np.sin(2 * np.pi * hertz * np.arange(rate) / rate)).astype(np.float32)


def decibels(samples: NDArray[np.float32]) -> float:
    return 10 * float(np.log10(np.mean(samples.astype(float) ** 2)))


@settings(max_examples=40, deadline=None)
@given(st.floats(100, 3_000), st.sampled_from([8_000, 16_000, 22_050, 44_100]), st.sampled_from(SPEEDS))
def test_length_and_pitch_change_by_the_factor(hertz: float, rate: int, speed: float) -> None:
    changed = at_speed(tone(hertz, rate), speed)
    assert len(changed) == pytest.approx(rate / speed, abs=1)
    spectrum = np.abs(np.fft.rfft(changed * np.hanning(len(changed))))
    assert float(spectrum.argmax()) * rate / len(changed) == pytest.approx(speed * hertz, abs=2)
    assert decibels(changed) == pytest.approx(decibels(tone(hertz, rate)), abs=0.2)


def test_frequencies_beyond_the_limit_are_not_aliased() -> None:
    assert decibels(at_speed(tone(7_900), 1.1)) < decibels(tone(7_900)) - 40
