"""Measure length, level and noise of a recording, and compute its fingerprint.

Shapes: N samples, T frames, M mel bands, K values of a fingerprint.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from speakerid.audio.log_mel import (
    MIN_PEAK,
    RMS_SECONDS,
    SILENCE_LEVEL,
    energies,
    gain_to,
    peak_of,
    sound_segments,
)
from speakerid.config import FeatureConfig

NOISE_QUANTILE = 0.1
"""Quantile of the power of frames that estimates the noise; pauses are a larger share of speech than this."""
DIGITAL_SILENCE = 1e-9
"""Mean square at -90 dB of full scale, one step of a 16-bit recording; quieter frames were not recorded."""
HIGHEST_SNR = 100.0
"""Upper limit of the estimated signal-to-noise ratio, in dB."""

PRINT_VALUES = 64
"""Maximum number of values of a fingerprint."""
PRINT_FRAMES = 20
"""Frames to average (0.2 s), so that a shift by a fraction of a frame does not matter."""
PRINT_STEP = 10
"""Frames between the differences of one value."""
PRINT_PARTS, PRINT_BANDS = 4, 8
"""Number of differences in time and in frequency per value: 4 × 8 bits."""
PRINT_TOP = 0.7
"""Share of the mel bands to use, from the lowest: up to 3.8 of 8 kHz, which telephones and 8 kHz files keep."""
PRINT_RANGE = 8.0
"""Range below the loud frames to use, as natural logarithm of power (35 dB); noise is below."""
PRINT_CLEAR = 0.005
"""Smallest difference with a reliable sign."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Measurements of one recording, before its level is set and silence is cut.

    Attributes:
        seconds: length in seconds.
        sample_rate: sample rate of the file, in Hz.
        channels: number of channels of the file.
        peak_db: largest absolute sample, in dB of full scale.
        level_db: RMS without silence, in dB of full scale.
        clipped: share of the samples at full scale.
        silence: share of the recording that is silence.
        snr_db: estimated signal-to-noise ratio in dB, 0 to 100.
        cancelled: whether the channels cancel each other out, so that only the loudest one was used.
    """

    seconds: float
    sample_rate: int
    channels: int
    peak_db: float
    level_db: float
    clipped: float
    silence: float
    snr_db: float
    cancelled: bool = False


def measure(waveform: NDArray[np.float32], sample_rate: int, channels: int, clipped: float) -> Measured:
    """Measure a recording; takes 0.1 ms plus 0.02 ms per second at 16 kHz.

    Silence is what `LogMel` cuts with default settings: segments of at least 0.1 s with an RMS 37 dB below the peak.
    For the signal-to-noise ratio, the noise power is the 10th percentile of the power of 20 ms frames, and the speech
    power is the mean power minus that of the noise; frames of digital silence are ignored.

    Args:
        waveform: (N,) mono samples, N > 0.
        sample_rate: sample rate in Hz.
        channels: number of channels of the file; passed on.
        clipped: share of the samples at full scale, from the decoder; passed on.

    Raises:
        UserError: a sample is not finite, or exceeds `MAX_SAMPLE`.
    """
    gain = gain_to(waveform, FeatureConfig().level)
    sounding = [waveform[segment] for segment in sound_segments(waveform, sample_rate, SILENCE_LEVEL / gain)]
    length = sum(len(segment) for segment in sounding)
    energy = sum(float(segment @ segment) for segment in sounding)
    peak = max(peak_of(waveform), MIN_PEAK)
    return Measured(
        seconds=len(waveform) / sample_rate,
        sample_rate=sample_rate,
        channels=channels,
        peak_db=20 * math.log10(peak),
        level_db=10 * math.log10(max(energy / max(length, 1), MIN_PEAK**2)),
        clipped=clipped,
        silence=1 - length / len(waveform),
        snr_db=_snr(waveform, max(1, round(RMS_SECONDS * sample_rate))),
    )


def _snr(samples: NDArray[np.float32], window: int) -> float:
    power = energies(samples, window) / window
    recorded = power[power > DIGITAL_SILENCE]
    if not len(recorded):
        return 0.0
    index = int(NOISE_QUANTILE * (len(recorded) - 1))
    noise = float(np.partition(recorded, index)[index])
    speech = float(recorded.mean()) - noise
    return min(10 * math.log10(max(speech, noise) / noise), HIGHEST_SNR)


def fingerprint(frames: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Compute values that a recording shares only with its copies.

    Follows Haitsma & Kalker (2002), "A Highly Robust Audio Fingerprinting System": each bit is the sign of a difference
    of log energies in both time and frequency, which cancels the level and filters that are flat over a band. Only the
    times whose weakest bit is clearest are kept, because copies most likely agree there. Values do not contain the
    time, so an excerpt keeps its values.

    Args:
        frames: (T, M) log-mel frames, natural logarithm, every 10 ms.

    Returns:
        (K,) distinct values, ascending, K <= 64; empty if T < 60.
    """
    span = PRINT_FRAMES + PRINT_PARTS * PRINT_STEP
    if len(frames) < span:
        return np.empty(0, np.uint32)
    shares = _shares(frames.shape[1])
    lower = np.ascontiguousarray(frames[:, : shares.shape[1]].T)  # (mels, T)
    index = round(0.95 * (len(frames) - 1))
    loud = np.partition(lower.max(0), index)[index]
    bands = shares @ np.maximum(lower, loud - PRINT_RANGE, out=lower)  # (bands, T)
    sums = np.cumsum(bands, axis=1, dtype=np.float64)
    sums[:, PRINT_FRAMES:] -= sums[:, :-PRINT_FRAMES].copy()
    slope = np.diff((sums[:, PRINT_FRAMES - 1 :] / PRINT_FRAMES).astype(np.float32), axis=0)
    change = slope[:, PRINT_STEP:] - slope[:, :-PRINT_STEP]
    signs = np.packbits(change > 0, axis=0)[0].astype(np.uint32)  # one byte per time
    clear = np.abs(change).min(0)
    moments = len(frames) - span + 1
    parts = [slice(part * PRINT_STEP, part * PRINT_STEP + moments) for part in range(PRINT_PARTS)]
    values = np.bitwise_or.reduce([signs[part] << (PRINT_BANDS * index) for index, part in enumerate(parts)])
    clarity = np.min([clear[part] for part in parts], axis=0)
    clearest = np.argsort(-clarity, kind="stable")[: np.count_nonzero(clarity > PRINT_CLEAR)]
    _, first = np.unique(values[clearest], return_index=True)
    return np.sort(values[clearest[np.sort(first)[:PRINT_VALUES]]])


@lru_cache(maxsize=1)
def _shares(n_mels: int) -> NDArray[np.float32]:
    """(bands, lower mels) weights that average mel bands into bands of equal width, with fractions at the edges."""
    edges = np.linspace(0, PRINT_TOP * n_mels, PRINT_BANDS + 2)
    low = np.arange(math.ceil(edges[-1]))
    inside = np.minimum(low + 1, edges[1:, None]) - np.maximum(low, edges[:-1, None])
    return (np.maximum(inside, 0) / np.diff(edges)[:, None]).astype(np.float32)
