"""An occasion depends on seed, speaker and session, and changes every recording."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speakerid.audio.log_mel import LogMel
from speakerid.audio.occasion import Occasion, generator
from speakerid.base.errors import UserError
from speakerid.config import FeatureConfig
from speakerid.demo.voices import SAMPLE_RATE, Voice, speak

pytest.importorskip("av", reason="needs PyAV, of the extra `av`")


def mean_spectrum(occasion: Occasion, number: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    voice = Voice.draw(rng)
    waveform = speak(voice, 2.0, np.random.default_rng(number))
    return LogMel(FeatureConfig())(*occasion.record(waveform, SAMPLE_RATE, generator(number))).mean(0)


def test_an_occasion_depends_only_on_seed_speaker_and_session() -> None:
    waveform = speak(Voice.draw(np.random.default_rng(0)), 0.5, np.random.default_rng(0))
    recorded = [
        Occasion.of(*which).record(waveform, SAMPLE_RATE, generator(0))[0]
        for which in ((0, "anna", "a"), (0, "anna", "a"), (1, "anna", "a"), (0, "ben", "a"), (0, "anna", "b"))
    ]
    np.testing.assert_array_equal(recorded[0], recorded[1])
    for other in recorded[2:]:
        assert len(other) != len(recorded[0]) or not np.allclose(other, recorded[0], atol=1e-3)


def test_recordings_of_one_occasion_are_more_similar_than_those_of_two() -> None:
    spectra = np.array([[mean_spectrum(Occasion.of(0, "anna", s), n) for n in range(3)] for s in "abcd"])
    within = np.sqrt(np.mean((spectra - spectra.mean(1, keepdims=True)) ** 2))
    between = np.sqrt(np.mean((spectra.mean(1) - spectra.mean((0, 1))) ** 2))
    assert between > 2 * within


@settings(max_examples=25, deadline=None)
@given(
    length=st.integers(1, 3000),
    rate=st.sampled_from([8_000, 16_000, 44_100]),
    level=st.sampled_from([0.0, 1e-30, 1e-3, 1.0, 1e6, 1e30]),
    number=st.integers(0, 50),
)
def test_any_input_gives_samples_within_full_scale(length: int, rate: int, level: float, number: int) -> None:
    waveform = (level * np.random.default_rng(number).standard_normal(length)).astype(np.float32)
    samples, out_rate = Occasion.of(number, "anna", "a").record(waveform, rate, generator(number))
    assert out_rate in (8_000, 16_000)
    assert len(samples) / out_rate >= length / rate - 0.03
    assert np.abs(samples).max() <= 1
    assert np.isfinite(samples).all()


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_samples_that_are_not_finite_are_refused(wrong: float) -> None:
    with pytest.raises(UserError, match="not finite"):
        Occasion.of(0, "anna", "a").record(np.array([0.1, wrong], np.float32), 16_000, generator(0))
