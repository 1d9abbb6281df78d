"""Another occasion, simulated: a room, a microphone, background noise and a codec that its recordings share."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speakerid.audio.channel import CURVE_POINTS, SAMPLE_RATE, Channel, noise_curve, room_response
from speakerid.audio.codecs import WIDE, Codec, encode_and_decode
from speakerid.audio.resample import resample
from speakerid.errors import UserError

Samples = NDArray[np.float32]

REVERBERATION_SECONDS = (0.15, 0.8)
"""Shortest and longest time in which a room's tail falls by 60 dB."""
DIFFUSE = (0.003, 0.04)
"""Of a room's tail, see `room_response`: its energy is from 30 dB below the direct sound's to about as much."""
SNR_DB = (8.0, 35.0)
MICROPHONE_DB = 4.0
"""Standard deviation of a microphone's slope over all frequencies and of its gain at each of them."""
SHORTEST = 1600
"""Samples that are encoded; silence fills shorter recordings up."""


@dataclass(frozen=True, eq=False)
class Occasion:
    """The way from the mouth to a file that was recorded on one occasion."""

    channel: Channel
    codec: Codec

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Occasion":
        """A new occasion; of half of them the recordings have the bandwidth of telephones."""
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
        """The occasion of a session, always the same one for the same arguments."""
        return cls.draw(generator(seed, speaker, session))

    def record(self, waveform: Samples, sample_rate: int, rng: np.random.Generator) -> tuple[Samples, int]:
        """Record on this occasion.

        Args:
            waveform: (N,) float32, N > 0.
            sample_rate: in Hz.
            rng: decides this recording's stretch of noise.

        Returns:
            Samples within −1 and 1, and their rate, 16 or 8 kHz.

        Raises:
            UserError: samples that are not finite numbers.
        """
        peak = float(np.abs(waveform).max())
        if not np.isfinite(peak):
            raise UserError("holds samples that are not finite numbers")
        speech = np.divide(waveform, peak or 1.0, dtype=np.float32)  # near a peak of one no power overflows or vanishes
        speech = resample(speech, sample_rate, SAMPLE_RATE)
        speech = np.pad(speech, (0, max(0, SHORTEST - len(speech))))
        recorded = self.channel.apply(speech, rng)
        decoded, rate = encode_and_decode(recorded, SAMPLE_RATE, self.codec)
        rate_out = min(rate, WIDE)
        return np.clip(resample(decoded, rate, rate_out), -1, 1), rate_out


def generator(seed: int, *names: str) -> np.random.Generator:
    """Random numbers that depend on a seed and some names alone."""
    return np.random.default_rng([seed, *hashlib.blake2b(repr(names).encode(), digest_size=16).digest()])
