import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from speakerid.audio.resample import resample
from speakerid.base.errors import UserError

Samples = NDArray[np.float32]


def tone(hertz: float, rate: int, seconds: float = 1.0) -> Samples:
    time = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def inner(waveform: Samples) -> Samples:
    """Remove the ends, where the sound starts and stops suddenly."""
    return waveform[len(waveform) // 4 : -len(waveform) // 4]


@settings(deadline=None, max_examples=40)
@given(rate=st.integers(1_000, 384_000), target=st.sampled_from([8_000, 16_000]), share=st.floats(0.05, 0.8))
def test_a_tone_stays_the_tone_at_any_rate(rate: int, target: int, share: float) -> None:
    hertz = share * min(rate, target) / 2
    found = resample(tone(hertz, rate), rate, target)
    assert abs(len(found) - target) <= 1
    assert found.dtype == np.float32
    expected = tone(hertz, target)[: len(found)]
    np.testing.assert_allclose(inner(found[: len(expected)]), inner(expected), rtol=0, atol=1e-3)


@pytest.mark.parametrize("rate", [22_050, 44_100, 44_101, 48_000])
@pytest.mark.parametrize("hertz", [8_800, 9_900, 10_900])
def test_frequencies_above_half_the_new_rate_are_removed(rate: int, hertz: float) -> None:
    left = inner(resample(tone(hertz, rate), rate, 16_000))
    assert 20 * math.log10(np.abs(left).max() / 0.5) < -90


@pytest.mark.parametrize("rate", [44_101, 47_999, 383_999, 1_009])
def test_rates_without_a_common_factor_need_little_memory(rate: int) -> None:
    waveform = tone(300, rate, seconds=20)
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("reads the peak of the memory from Linux")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # reset the peak
    before = int(re.findall(r"VmRSS:\s+(\d+)", status.read_text(encoding="ascii"))[0])
    resample(waveform, rate, 16_000)
    after = int(re.findall(r"VmHWM:\s+(\d+)", status.read_text(encoding="ascii"))[0])
    assert 1024 * (after - before) < 2**26


def test_the_same_rate_does_not_change_the_samples() -> None:
    waveform = tone(300, 16_000)
    assert resample(waveform, 16_000, 16_000) is waveform


@pytest.mark.parametrize("rate", [-1, 0, 1, 999, 384_001, 4_000_000_000])
def test_impossible_rates_are_refused(rate: int) -> None:
    with pytest.raises(UserError, match="expected 1,000 to 384,000 Hz"):
        resample(tone(300, 16_000), rate, 16_000)


@pytest.mark.parametrize("samples", [0, 1, 2, 100])
def test_short_waveforms_stay_short(samples: int) -> None:
    found = resample(np.ones(samples, np.float32), 48_000, 16_000)
    assert abs(len(found) - samples / 3) <= 1
    assert np.isfinite(found).all()
