"""Log-mel features in NumPy, so that worker processes need neither torch nor its memory.

The features are those of torchaudio's `MelSpectrogram`, which the tests compare them with.

Shapes: N samples, T frames, M mel bands.
"""

import math
import warnings
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from speakerid.audio.fourier import rfft
from speakerid.audio.resample import resample
from speakerid.base.errors import UserError
from speakerid.config import FeatureConfig

SILENCE_LEVEL = 0.01
"""RMS relative to full scale below which sound counts as silence (SoX `silence … 1%`)."""
SILENCE_SECONDS = 0.1
"""Shortest silence to cut; shorter ones, such as those of stop consonants, are part of the speech."""
RMS_SECONDS = 0.02
"""Window of the RMS."""
MAX_SAMPLE = 1e12
"""Largest valid sample, beyond even 32-bit integers read as floats; squares of larger ones overflow."""
MIN_PEAK = 2.0**-31
"""One step of a 32-bit recording; anything quieter is digital silence."""
CHUNK = 64
"""Frames to transform at a time, so that intermediate results stay in the cache. They are also below the 128 KiB from
which glibc maps new pages for every allocation, which the system has to clear; that takes as long as the transform."""

Samples = NDArray[np.float32]


@cache
def _threads() -> ThreadpoolController:
    return ThreadpoolController()  # inspects all libraries, which takes longer than a recording


@lru_cache(maxsize=2)
def mel_filters(features: FeatureConfig) -> NDArray[np.float32]:
    """(window_length // 2 + 1, M) filterbank: weight of each frequency in each band, HTK scale, no area normalization.

    The mel of f Hz is 2595 log10(1 + f / 700), as in the HTK Book. Values are rounded like those of torchaudio's
    `melscale_fbanks`, except that powers are correctly rounded, which torch's are not on every processor.

    Raises:
        UserError: `f_min` is not below half the sample rate.
    """
    nyquist = features.sample_rate / 2
    if features.f_min >= nyquist:
        raise UserError(f"f_min: found {features.f_min:g} Hz, expected below half the sample rate, {nyquist:g} Hz")
    lowest, highest = (2595 * math.log10(1 + hertz / 700) for hertz in (features.f_min, nyquist))
    mels = _linspace(lowest, highest, features.n_mels + 2) / np.float32(2595)
    powers = (10 ** mels.astype(np.float64)).astype(np.float32)
    edges = np.float32(700) * (powers - np.float32(1))  # of the triangles, in Hz
    from_edges = edges - _linspace(0, features.sample_rate // 2, features.window_length // 2 + 1)[:, None]
    widths = np.diff(edges)
    triangles = np.minimum(-from_edges[:, :-2] / widths[:-1], from_edges[:, 2:] / widths[1:])
    if (triangles.max(0) <= 0).any():
        warnings.warn("a mel band holds no frequency: n_mels is too large for window_length", stacklevel=2)
    return np.maximum(triangles, np.float32(0))


def _linspace(start: float, stop: float, count: int) -> NDArray[np.float32]:
    """`torch.linspace` in float32: from both ends to the middle, each value rounded once."""
    first, last = np.float32(start), np.float32(stop)
    step = float((last - first) / np.float32(count - 1))
    index = np.arange(count)
    values = np.where(index < count // 2, first + step * index, last - step * (count - 1 - index))
    return values.astype(np.float32)


class LogMel:
    """Waveform to log-mel spectrogram (natural logarithm), after mixing, resampling, setting the level and trimming.

    Frames are centered, with reflection padding. The result equals the logarithm of the clamped output of
    `torchaudio.transforms.MelSpectrogram`, at a third of the cost.

    Args:
        features: feature settings; the default is that of HW4.

    Raises:
        UserError: see `mel_filters`.
    """

    def __init__(self, features: FeatureConfig) -> None:
        self.features = features
        self._filters = mel_filters(features)
        turns = np.arange(features.window_length) / features.window_length
        self._window = (0.5 - 0.5 * np.cos(2 * np.pi * turns)).astype(np.float32)

    def without_trimming(self) -> "LogMel":
        """Copy of this transform that does not cut silence."""
        return LogMel(self.features.model_copy(update={"trim_silence": False}))

    def __call__(self, waveform: Samples, sample_rate: int) -> NDArray[np.float32]:
        """Compute the features of one recording.

        Args:
            waveform: (N,) or (channels, N) samples in [-1, 1].
            sample_rate: sample rate of the waveform, in Hz.

        Returns:
            (T, M) features, T = 1 + (samples after trimming) // hop_length.

        Raises:
            UserError: the recording is silent or shorter than one window, has samples that are not finite, or has an
                impossible sample rate.
        """
        features = self.features
        if waveform.ndim == 2:
            waveform = waveform.mean(0, dtype=np.float64).astype(np.float32)
        waveform, gain, segments = _prepare(waveform, sample_rate, features)
        frames = self._frames(waveform, segments)
        with _threads().limit(limits=1, user_api="blas"):  # the products are too small for threads
            power = self._mel_power(frames, gain)
        return np.log(np.maximum(power, features.floor, out=power), out=power)

    def _frames(self, waveform: Samples, segments: list[slice]) -> NDArray[np.float32]:
        """(T, window_length) view of the concatenated segments, with reflection padding."""
        window, hop = self.features.window_length, self.features.hop_length
        half = window // 2
        margin = np.empty(half, np.float32)
        padded = np.concatenate([margin, *(waveform[segment] for segment in segments), margin])
        end = len(padded) - half
        if end - half <= half:
            raise UserError(f"found {end - half} samples of sound, expected more than {half}")
        padded[:half] = padded[2 * half : half : -1]
        padded[end:] = padded[end - 2 : end - 2 - half : -1]
        return np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]

    def _mel_power(self, frames: NDArray[np.float32], gain: float) -> NDArray[np.float32]:
        """Transform (T, window_length) frames to the (T, M) power in each band."""
        rest, exponent = math.frexp(gain)
        window = np.ldexp(self._window, exponent)  # a power of 2 causes no rounding
        mel_power = np.empty((len(frames), self.features.n_mels), np.float32)
        windowed = np.empty((min(CHUNK, len(frames)), len(window)), np.float32)
        for start in range(0, len(frames), CHUNK):
            some = frames[start : start + CHUNK]
            spectrum = rfft(np.multiply(some, window, out=windowed[: len(some)]))
            parts = spectrum.view(np.float32)  # alternating real and imaginary parts
            np.multiply(parts, parts, out=parts)
            np.matmul(parts[:, ::2] + parts[:, 1::2], self._filters, out=mel_power[start : start + CHUNK])
        return np.multiply(mel_power, rest**2, out=mel_power)


def gain_to(waveform: Samples, level: float) -> float:
    """Factor that scales the peak of (N,) samples to `level` dB of full scale; 1 for digital silence.

    Raises:
        UserError: a sample is not finite, or exceeds `MAX_SAMPLE`.
    """
    peak = peak_of(waveform)
    return 10 ** (level / 20) / peak if peak > MIN_PEAK else 1.0


def peak_of(waveform: Samples) -> float:
    """Largest absolute value of (N,) samples; 0 if N is 0.

    Raises:
        UserError: a sample is not finite, or exceeds `MAX_SAMPLE`.
    """
    if not len(waveform):
        return 0.0
    peak = max(-float(waveform.min()), float(waveform.max()))  # NaN if any sample is NaN
    if not math.isfinite(peak):
        raise UserError("holds samples that are not finite numbers")
    if peak > MAX_SAMPLE:
        raise UserError(f"holds samples of {peak:.1g}, where full scale is 1; it is damaged, or is not sound")
    return peak


def sound_segments(waveform: Samples, sample_rate: int, silence: float = SILENCE_LEVEL) -> list[slice]:
    """Find the segments between silences of at least 0.1 s.

    Args:
        waveform: (N,) samples.
        sample_rate: sample rate in Hz.
        silence: RMS over 20 ms below which sound counts as silence, in units of the samples.

    Returns:
        Slices of the waveform, ascending; some may be empty.
    """
    window = max(1, round(RMS_SECONDS * sample_rate))
    blocks, rest = divmod(len(waveform), window)
    quiet = np.zeros(blocks + bool(rest) + 2, dtype=bool)  # sound at both ends, so that every silence has two edges
    quiet[1 : blocks + 1] = np.sqrt(energies(waveform, window)) < silence * math.sqrt(window)
    if rest:
        quiet[-2] = np.sqrt(energies(waveform[-rest:], rest)) < silence * math.sqrt(window)
    silences = np.flatnonzero(quiet[1:] != quiet[:-1]).reshape(-1, 2)
    shortest = math.ceil(SILENCE_SECONDS * sample_rate / window)
    cuts = window * silences[silences[:, 1] - silences[:, 0] >= shortest]
    edges = [0, *cuts.ravel().tolist(), len(waveform)]
    return [slice(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True)]


def energies(waveform: Samples, window: int) -> NDArray[np.float32]:
    """(N // window,) sums of squares over consecutive windows of (N,) samples; an incomplete last window is ignored."""
    blocks = waveform[: len(waveform) // window * window].reshape(-1, window)
    return np.einsum("ij,ij->i", blocks, blocks)


def trim(waveform: Samples, sample_rate: int, features: FeatureConfig) -> Samples:
    """Sound that features are computed from, for callers that change it first.

    Args:
        waveform: (N,) samples.
        sample_rate: sample rate of the waveform, in Hz.
        features: feature settings.

    Returns:
        (N',) samples at `features.sample_rate` and `features.level`, without silences if `features.trim_silence`.

    Raises:
        UserError: samples are not finite, or the sample rate is impossible.
    """
    waveform, gain, segments = _prepare(waveform, sample_rate, features)
    return np.float32(gain) * np.concatenate([waveform[segment] for segment in segments])


def _prepare(waveform: Samples, sample_rate: int, features: FeatureConfig) -> tuple[Samples, float, list[slice]]:
    """(N,) samples at the sample rate of the features, the gain to their level, and the segments to keep."""
    waveform = resample(waveform, sample_rate, features.sample_rate)
    gain = gain_to(waveform, features.level)
    if not features.trim_silence:
        return waveform, gain, [slice(len(waveform))]
    return waveform, gain, sound_segments(waveform, features.sample_rate, SILENCE_LEVEL / gain)
