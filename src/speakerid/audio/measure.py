"""What can be said of a recording at a glance: how long, how loud, how noisy, and which one it is.

Letters: N samples, T frames, M mel bands, K values of a fingerprint.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from speakerid.audio.log_mel import (
    RMS_SECONDS,
    SILENCE_LEVEL,
    SMALLEST_PEAK,
    energies,
    gain_to,
    peak_of,
    stretches_of_sound,
)
from speakerid.config import FeatureConfig

NOISE_QUANTILE = 0.1
"""Share of the frames that is taken for noise alone: the pauses between and within words are more."""
DIGITAL_SILENCE = 1e-9
"""Mean square at -90 dB of full scale, one step of a 16-bit recording; quieter frames were made, not recorded."""
HIGHEST_SNR = 100.0

PRINT_VALUES = 64
PRINT_FRAMES = 20
"""Frames averaged, so that a shift by part of a frame does not matter: 0.2 s."""
PRINT_STEP = 10
"""Frames between the differences that one value holds."""
PRINT_PARTS, PRINT_BANDS = 4, 8
"""Differences in time and in frequency that one value holds: 4 × 8 bits."""
PRINT_TOP = 0.7
"""Share of the bands that is looked at, the lower ones: up to 3.8 kHz of 8, which telephones and 8 kHz files keep."""
PRINT_RANGE = 8.0
"""Depth below the loud frames that is looked at, in natural logarithms of power (35 dB): under it lies the noise."""
PRINT_CLEAR = 0.005
"""Smallest difference that has a sign."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One recording in numbers, as it was recorded: before its level is set and its silence cut.

    Attributes:
        seconds: length.
        sample_rate: in Hz, of the file.
        channels: of the file.
        peak_db: highest absolute sample, in dB of full scale.
        level_db: RMS of what is not silence, in dB of full scale.
        clipped: share of the samples at full scale.
        silence: share of the recording that is silence.
        snr_db: power of the speech over that of the noise, estimated, 0 to 100.
        cancelled: the channels of the file cancel each other out; the loudest one was used alone.
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
    """Measure a recording; takes 0.1 ms, and 0.02 ms more for every second at 16 kHz.

    Silence is what `LogMel` would cut under the default settings: stretches of at least 0.1 s whose RMS stays 37 dB
    below the peak. The signal-to-noise ratio takes the 10th percentile of the power of frames of 20 ms for the
    noise's and the rest of the mean power for the speech's; frames of digital silence are left aside.

    Args:
        waveform: (N,) mono samples, N > 0.
        sample_rate: in Hz.
        channels: of the file; passed on.
        clipped: share of the samples at full scale, from the decoder; passed on.

    Raises:
        UserError: a sample is no finite number.
    """
    gain = gain_to(waveform, FeatureConfig().level)
    sounding = [waveform[stretch] for stretch in stretches_of_sound(waveform, sample_rate, SILENCE_LEVEL / gain)]
    length = sum(len(stretch) for stretch in sounding)
    energy = sum(float(stretch @ stretch) for stretch in sounding)
    peak = max(peak_of(waveform), SMALLEST_PEAK)
    return Measured(
        seconds=len(waveform) / sample_rate,
        sample_rate=sample_rate,
        channels=channels,
        peak_db=20 * math.log10(peak),
        level_db=10 * math.log10(max(energy / max(length, 1), SMALLEST_PEAK**2)),
        clipped=clipped,
        silence=1 - length / len(waveform),
        snr_db=_snr(waveform, max(1, round(RMS_SECONDS * sample_rate))),
    )


def _snr(samples: NDArray[np.float32], window: int) -> float:
    power = energies(samples, window) / window
    recorded = power[power > DIGITAL_SILENCE]
    if not len(recorded):
        return 0.0
    place = int(NOISE_QUANTILE * (len(recorded) - 1))
    noise = float(np.partition(recorded, place)[place])
    speech = float(recorded.mean()) - noise
    return min(10 * math.log10(max(speech, noise) / noise), HIGHEST_SNR)


def fingerprint(frames: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Values that a recording shares with its copies, and with nothing else.

    After Haitsma & Kalker (2002), "A Highly Robust Audio Fingerprinting System": every bit is the sign of a
    difference of log energies in both time and frequency, so the level, and a filter that is flat over a band, fall
    out. Of all moments those are kept whose weakest bit is clearest, since a copy agrees there most likely; it need
    not agree anywhere else. Values carry no time, so a piece that is cut out keeps its own.

    Args:
        frames: (T, M) log-mel frames, natural logarithm, every 10 ms.

    Returns:
        (K,) different values, ascending, K <= 64; none where T < 60.
    """
    span = PRINT_FRAMES + PRINT_PARTS * PRINT_STEP
    if len(frames) < span:
        return np.empty(0, np.uint32)
    shares = _shares(frames.shape[1])
    lower = np.ascontiguousarray(frames[:, : shares.shape[1]].T)  # (mels, T)
    place = round(0.95 * (len(frames) - 1))
    loud = np.partition(lower.max(0), place)[place]
    bands = shares @ np.maximum(lower, loud - PRINT_RANGE, out=lower)  # (bands, T)
    sums = np.cumsum(bands, axis=1, dtype=np.float64)
    sums[:, PRINT_FRAMES:] -= sums[:, :-PRINT_FRAMES].copy()
    slope = np.diff((sums[:, PRINT_FRAMES - 1 :] / PRINT_FRAMES).astype(np.float32), axis=0)
    change = slope[:, PRINT_STEP:] - slope[:, :-PRINT_STEP]
    signs = np.packbits(change > 0, axis=0)[0].astype(np.uint32)  # one byte a moment
    clear = np.abs(change).min(0)
    moments = len(frames) - span + 1
    parts = [slice(part * PRINT_STEP, part * PRINT_STEP + moments) for part in range(PRINT_PARTS)]
    values = np.bitwise_or.reduce([signs[part] << (PRINT_BANDS * place) for place, part in enumerate(parts)])
    clarity = np.min([clear[part] for part in parts], axis=0)
    clearest = np.argsort(-clarity, kind="stable")[: np.count_nonzero(clarity > PRINT_CLEAR)]
    _, first = np.unique(values[clearest], return_index=True)
    return np.sort(values[clearest[np.sort(first)[:PRINT_VALUES]]])


@lru_cache(maxsize=1)
def _shares(n_mels: int) -> NDArray[np.float32]:
    """(bands, lower mels) weights that average bands of equal width, a cut mel in part."""
    edges = np.linspace(0, PRINT_TOP * n_mels, PRINT_BANDS + 2)
    low = np.arange(math.ceil(edges[-1]))
    inside = np.minimum(low + 1, edges[1:, None]) - np.maximum(low, edges[:-1, None])
    return (np.maximum(inside, 0) / np.diff(edges)[:, None]).astype(np.float32)
