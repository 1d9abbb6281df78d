"""Simulate a recording occasion: a room, microphone, background noise and codec that its recordings share.

Shapes: N samples.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speakerid.audio.channel import CURVE_POINTS, SAMPLE_RATE, Channel, noise_curve, room_response
from speakerid.audio.codec_simulation import WIDE, Codec, encode_and_decode
from speakerid.audio.resample import resample
from speakerid.base.errors import UserError

Samples = NDArray[np.float32]

REVERBERATION_SECONDS = (0.15, 0.8)
"""Range of the reverberation time (RT60)."""
DIFFUSE = (0.003, 0.04)
"""Range of the level of the diffuse tail, see `room_response`: from 30 dB below the direct sound to about equal."""
SNR_DB = (8.0, 35.0)
"""Range of the signal-to-noise ratio."""
MICROPHONE_DB = 4.0
"""Standard deviation of a microphone's spectral slope, and of its gain at each frequency."""
MIN_SAMPLES = 1600
"""Minimum number of samples to encode; shorter recordings are padded with silence."""


@dataclass(frozen=True, eq=False)
class Occasion:
    """Channel and codec of one occasion, from mouth to file."""

    channel: Channel
    codec: Codec

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Occasion":
        """Draw a random occasion; half of them have telephone bandwidth."""
        slope = rng.normal(0, MICROPHONE_DB) * np.linspace(-1, 1, CURVE_POINTS)
        channel = Channel(
            room=room_response(rng, REVERBERATION_SECONDS[1], REVERBERATION_SECONDS, DIFFUSE),
            microphone=slope + rng.normal(0, MICROPHONE_DB, CURVE_POINTS),
            noise=noise_curve(rng),
            snr_db=rng.uniform(*SNR_DB),
            peak=rng.uniform(0.1, 0.9),
        )
        return cls(channel, Codec.draw(rng))

    @classmethod
    def of(cls, seed: int, speaker: str, session: str) -> "Occasion":
        """Occasion of a session; the same for the same arguments."""
        return cls.draw(generator(seed, speaker, session))

    def record(self, waveform: Samples, sample_rate: int, rng: np.random.Generator) -> tuple[Samples, int]:
        """Record on this occasion.

        Args:
            waveform: (N,) float32, N > 0.
            sample_rate: sample rate in Hz.
            rng: generator for the noise of this recording.

        Returns:
            Samples in [−1, 1] and their sample rate, 16 or 8 kHz.

        Raises:
            UserError: samples are not finite.
        """
        peak = float(np.abs(waveform).max())
        if not np.isfinite(peak):
            raise UserError("holds samples that are not finite numbers")
        speech = np.divide(waveform, peak or 1.0, dtype=np.float32)  # avoid overflow and underflow of the power
        speech = resample(speech, sample_rate, SAMPLE_RATE)
        speech = np.pad(speech, (0, max(0, MIN_SAMPLES - len(speech))))
        recorded = self.channel.apply(speech, rng)
        decoded, rate = encode_and_decode(recorded, SAMPLE_RATE, self.codec)
        rate_out = min(rate, WIDE)
        return np.clip(resample(decoded, rate, rate_out), -1, 1), rate_out


def generator(seed: int, *names: str) -> np.random.Generator:
    """Random generator that depends only on a seed and names."""
    return np.random.default_rng([seed, *hashlib.blake2b(repr(names).encode(), digest_size=16).digest()])
