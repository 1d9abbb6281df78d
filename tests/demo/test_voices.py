"""Voices and channels depend only on their random numbers, and have properties of speech."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from speakerid.audio.channel import Channel
from speakerid.demo.voices import SAMPLE_RATE, Voice, speak

SEEDS = st.integers(0, 10_000)


def pitches(waveform: NDArray[np.float32]) -> NDArray[np.float64]:
    """Pitch in Hz of 40 ms segments that are clearly periodic, by autocorrelation."""
    size, shortest, longest = 640, SAMPLE_RATE // 500, SAMPLE_RATE // 50
    found = []
    for start in range(0, len(waveform) - size - longest, size):
        segment = waveform[start : start + size]
        if segment.std() < 0.02:
            continue
        lags = range(shortest, longest)
        scores = [np.corrcoef(segment, waveform[start + lag : start + lag + size])[0, 1] for lag in lags]
        # The first lag that is nearly as good as the best, because multiples of the period also fit.
        if max(scores) > 0.9:
            found.append(SAMPLE_RATE / lags[int(np.argmax(np.array(scores) > 0.97 * max(scores)))])
    return np.array(found)


@given(SEEDS, st.floats(1, 3))
@settings(max_examples=25, deadline=None)
def test_samples_are_finite_and_of_the_given_length(seed: int, seconds: float) -> None:
    rng = np.random.default_rng(seed)
    waveform = speak(Voice.draw(rng), seconds, rng)
    assert waveform.shape == (round(seconds * SAMPLE_RATE),)
    assert waveform.dtype == np.float32
    assert np.isfinite(waveform).all()
    assert 0 < np.abs(waveform).max() <= 0.9001


def test_the_same_random_numbers_give_the_same_speech() -> None:
    def say(voice: int, words: int) -> NDArray[np.float32]:
        return speak(Voice.draw(np.random.default_rng(voice)), 0.5, np.random.default_rng(words))

    assert np.array_equal(say(1, 2), say(1, 2))
    assert not np.array_equal(say(1, 2), say(1, 3))
    assert not np.array_equal(say(1, 2), say(4, 2))


@pytest.mark.parametrize("seed", range(4))
def test_pitch_is_that_of_the_voice(seed: int) -> None:
    rng = np.random.default_rng(seed)
    voice = Voice.draw(rng)
    found = pitches(speak(voice, 2.0, rng))
    assert len(found) > 10
    semitones = 12 * np.log2(np.median(found) / voice.pitch_hz)
    assert abs(semitones) < voice.pitch_span


def test_voices_differ_in_pitch() -> None:
    drawn = [Voice.draw(np.random.default_rng(seed)).pitch_hz for seed in range(50)]
    assert max(drawn) / min(drawn) > 1.8


@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_a_channel_keeps_the_length_and_does_not_clip(seed: int) -> None:
    rng = np.random.default_rng(seed)
    channel = Channel.draw(rng)
    speech = rng.standard_normal(4_000).astype(np.float32) * 0.2
    recorded = channel.apply(speech, rng)
    assert recorded.shape == speech.shape
    assert recorded.dtype == np.float32
    assert np.isfinite(recorded).all()
    assert np.abs(recorded).max() == pytest.approx(channel.peak, rel=1e-4)


def test_sessions_have_distinct_spectra() -> None:
    """Mean spectra of two utterances, in dB, are closer within a channel than across channels."""
    noise = np.random.default_rng(0).standard_normal((3, 32_000)).astype(np.float32)

    def curve(channel: int, words: int) -> NDArray[np.float64]:
        recorded = Channel.draw(np.random.default_rng(channel)).apply(noise[words], np.random.default_rng(words))
        power = np.abs(np.fft.rfft(recorded.reshape(-1, 320))) ** 2
        level = 10 * np.log10(power.mean(0)[2:])
        return level - level.mean()

    same = np.abs(curve(1, 0) - curve(1, 1)).mean()
    other = np.abs(curve(1, 0) - curve(2, 0)).mean()
    assert same < 1.5 < 3 < other


def test_noise_has_the_level_of_the_channel() -> None:
    channel = Channel.draw(np.random.default_rng(3))
    speech = np.zeros(32_000, dtype=np.float32)
    speech[:16_000] = np.random.default_rng(1).standard_normal(16_000)
    recorded = channel.apply(speech, np.random.default_rng(2))
    speech_power, noise_power = (recorded[part].astype(float).var() for part in (slice(0, 16_000), slice(24_000, None)))
    # Half of the recording is speech, so its mean power is half of the power of the speech.
    assert 10 * np.log10(speech_power / 2 / noise_power) == pytest.approx(channel.snr_db, abs=1.5)
