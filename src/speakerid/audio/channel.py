"""Channel of a recording session: the room, microphone and noise that its utterances share."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Array = NDArray[np.floating]

SAMPLE_RATE = 16_000
ROOM_SECONDS = 0.3
CURVE_POINTS = 20


@dataclass(frozen=True, eq=False)
class Channel:
    """Acoustic channel of one session, from mouth to file.

    Attributes:
        room: (samples,) impulse response at 16 kHz, the direct sound first with gain 1.
        microphone: (20,) gain in dB at points equally spaced in log frequency from 50 Hz to 8 kHz.
        noise: (20,) spectrum of the background noise in dB at the same points.
        snr_db: signal-to-noise ratio in dB.
        peak: largest absolute sample of a recording, below 1.
    """

    room: Array
    microphone: Array
    noise: Array
    snr_db: float
    peak: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Channel":
        """Draw a random channel."""
        slope = rng.normal(0, 4)
        return cls(
            room=room_response(rng, ROOM_SECONDS),
            microphone=slope * np.linspace(-1, 1, CURVE_POINTS) + rng.normal(0, 8, CURVE_POINTS),
            noise=noise_curve(rng),
            snr_db=rng.uniform(12, 34),
            peak=rng.uniform(0.1, 0.9),
        )

    def apply(self, waveform: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        """Record an utterance in this session.

        Args:
            waveform: (samples,) clean speech at 16 kHz.
            rng: generator for the noise of this recording.

        Returns:
            (samples,) recording, cut off after the last sample of the input.
        """
        samples = waveform.size
        length = fft.next_fast_len(samples + self.room.size, real=True)
        microphone = gain(self.microphone, length)
        speech = fft.rfft(waveform, length) * fft.rfft(self.room.astype(np.float32), length) * microphone
        hiss = fft.rfft(rng.standard_normal(length, dtype=np.float32)) * microphone * gain(self.noise, length)
        recorded = fft.irfft(speech, length)[:samples]
        background = fft.irfft(hiss, length)[:samples]
        ratio = np.sqrt(np.mean(recorded**2) / np.mean(background**2)) * 10 ** (-self.snr_db / 20)
        recorded += np.float32(ratio) * background
        return recorded * np.float32(self.peak / max(float(np.abs(recorded).max()), 1e-6))


def room_response(
    rng: np.random.Generator,
    seconds: float,
    reverberation: tuple[float, float] = (0.15, 0.6),
    diffuse: tuple[float, float] = (0.003, 0.02),
) -> Array:
    """Draw a room impulse response: direct sound, early reflections and an exponentially decaying diffuse tail.

    Follows Schroeder (1962).

    Args:
        rng: generator for the room.
        seconds: length of the response.
        reverberation: range of the reverberation time (RT60) in seconds.
        diffuse: range of the standard deviation of the diffuse tail before the decay.

    Returns:
        (samples,) at 16 kHz, the direct sound first with gain 1.
    """
    count = round(seconds * SAMPLE_RATE)
    time = np.arange(count) / SAMPLE_RATE
    decay = 10 ** (-3 * time / rng.uniform(*reverberation))
    response = rng.uniform(*diffuse) * rng.standard_normal(count) * decay * (time > 0.01)
    early = rng.integers(round(SAMPLE_RATE / 1600), round(0.03 * SAMPLE_RATE), 8)
    response[early] += rng.uniform(-0.5, 0.5, early.size) * decay[early]
    response[0] = 1
    return response


def noise_curve(rng: np.random.Generator) -> Array:
    """Draw a (20,) spectrum of background noise in dB, flat to falling, with bumps."""
    return rng.uniform(-25, 5) * np.linspace(0, 1, CURVE_POINTS) + rng.normal(0, 5, CURVE_POINTS)


def gain(curve: Array, length: int) -> NDArray[np.float32]:
    """Convert a curve over 50 Hz to 8 kHz to the linear gain of spectrum bins.

    Args:
        curve: (points,) in dB, equally spaced in log frequency, constant outside the range.
        length: number of samples at 16 kHz of the spectrum.

    Returns:
        (length // 2 + 1,) linear gain.
    """
    points = np.geomspace(50, SAMPLE_RATE / 2, curve.size)
    bins = np.maximum(np.arange(length // 2 + 1) * SAMPLE_RATE / length, 1)
    return (10 ** (np.interp(np.log(bins), np.log(points), curve) / 20)).astype(np.float32)
