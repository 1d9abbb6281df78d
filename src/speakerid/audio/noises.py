"""Generated background noise, for when there are no recordings of any."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from speakerid.audio.channel import gain, noise_curve
from speakerid.audio.synthesis import SAMPLE_RATE, Voice, speak

Array = NDArray[np.floating]

NOISES = ("stationary", "fluctuating", "hum", "speech")
HISS = np.float32(10**-0.75)
"""Amplitude of the hiss under a hum, relative to it: -15 dB."""
HIGHEST_HARMONIC_HZ = 2000
VOICES = 16
"""Synthetic voices that babble, few enough that a process makes them once and keeps them."""
VOICE_SECONDS = 5.0


def generate_noise(
    noise: str, seconds: float, sample_rate: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], int]:
    """A stretch of noise whose end goes on into its beginning, so that it can be looped.

    Args:
        noise: one of `NOISES`; `stationary`: of a random spectrum; `fluctuating`: the same with a level that wanders,
            as of traffic; `hum`: of the mains, with harmonics and some hiss; `speech`: one synthetic voice.
        seconds: how long at least; speech is always 5 s.
        sample_rate: in Hz.
        rng: decides everything.

    Returns:
        (samples,), of any level, and its sample rate: `sample_rate`, but that of the synthesis for speech.
    """
    # At least a second, for the spectra of slow fluctuations and of hum to have bins where they need them.
    length = fft.next_fast_len(round(max(1.0, seconds) * sample_rate), real=True)
    match noise:
        case "stationary":
            return _coloured(length, sample_rate, rng), sample_rate
        case "fluctuating":
            return _coloured(length, sample_rate, rng) * _fluctuation(length, sample_rate, rng), sample_rate
        case "hum":
            return _hum(length, sample_rate, rng) + HISS * _coloured(length, sample_rate, rng), sample_rate
        case "speech":
            voice = _voice(int(rng.integers(VOICES)))
            return np.roll(voice, int(rng.integers(voice.size))), SAMPLE_RATE
        case _:
            raise AssertionError(f"noise: found {noise!r}, expected one of {NOISES}")


def _coloured(length: int, sample_rate: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Gaussian noise of a random spectrum: (length,), standard deviation 1."""
    spectrum = _white_spectrum(length // 2 + 1, rng) * gain(noise_curve(rng), length, sample_rate)
    return _unit(fft.irfft(spectrum, length))


def _fluctuation(length: int, sample_rate: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Gain that wanders by some dB, some times a second: (length,)."""
    fastest, depth = rng.uniform(1, 8), rng.uniform(3, 8)
    bins = 1 + int(fastest * length / sample_rate)
    spectrum = np.zeros(length // 2 + 1, dtype=np.complex64)
    spectrum[1:bins] = _white_spectrum(bins - 1, rng)
    return 10 ** (np.float32(depth / 20) * _unit(fft.irfft(spectrum, length)))


def _hum(length: int, sample_rate: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """A fundamental at about 50 or 60 Hz with harmonics of random strengths and phases: (length,), deviation 1."""
    mains = rng.choice([50, 60]) * rng.uniform(0.995, 1.005)
    harmonics = np.arange(1, int(min(HIGHEST_HARMONIC_HZ, 0.45 * sample_rate) / mains) + 1)
    decibels = -20 * rng.uniform(0.3, 1.5) * np.log10(harmonics) + rng.normal(0, 6, harmonics.size)
    phases = np.exp(2j * np.pi * rng.random(harmonics.size))
    spectrum = np.zeros(length // 2 + 1, dtype=np.complex64)
    spectrum[np.round(harmonics * mains * length / sample_rate).astype(int)] = 10 ** (decibels / 20) * phases
    return _unit(fft.irfft(spectrum, length))


@lru_cache(maxsize=VOICES)
def _voice(number: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(number)
    return speak(Voice.draw(rng), VOICE_SECONDS, rng)


def _white_spectrum(bins: int, rng: np.random.Generator) -> NDArray[np.complex64]:
    return rng.standard_normal(2 * bins, dtype=np.float32).view(np.complex64)


def _unit(noise: Array) -> NDArray[np.float32]:
    return (noise / noise.std()).astype(np.float32, copy=False)
