"""Log-mel features. The only module that computes with torchaudio, so that everything else outlives it.

Letters: N samples, T frames, M mel bands.
"""

import math

import numpy as np
import torch
import torchaudio.functional as F
from torch import Tensor

from speakerid.audio.resample import resample
from speakerid.config import FeatureConfig
from speakerid.errors import UserError

SILENCE_LEVEL = 0.01
"""RMS, as a share of full scale, under which a stretch counts as silence (SoX `silence … 1%`)."""
SILENCE_SECONDS = 0.1
"""Shorter silences stay: they belong to the speech (stops, for instance)."""
RMS_SECONDS = 0.02
SMALLEST_PEAK = 2.0**-31
"""One step of a 32-bit recording; what is quieter is digital silence."""
CHUNK = 512
"""Frames transformed at a time: bounds the memory, and what one step writes the next still finds in the cache."""


class LogMel:
    """Waveform to natural-logarithm mel spectrogram: mono, resampled, levelled, trimmed.

    The mel scale is HTK's, without area normalisation; frames are centred, with reflection at both ends. The result is
    that of `torchaudio.transforms.MelSpectrogram`, clamped and logarithmised, at a third of its cost.

    Args:
        features: the settings; `FeatureConfig()` is the HW4 corpus's.

    Raises:
        UserError: the lowest band begins beyond half the sample rate.
    """

    def __init__(self, features: FeatureConfig) -> None:
        self.features = features
        nyquist = features.sample_rate / 2
        if features.f_min >= nyquist:
            raise UserError(f"f_min: found {features.f_min:g} Hz, expected below half the sample rate, {nyquist:g} Hz")
        self._window = torch.hann_window(features.window_length)
        self._filters = F.melscale_fbanks(
            features.window_length // 2 + 1, features.f_min, nyquist, features.n_mels, features.sample_rate
        )

    def __call__(self, waveform: Tensor, sample_rate: int) -> Tensor:
        """Features of one recording.

        Args:
            waveform: (N,) or (channels, N) samples in [-1, 1].
            sample_rate: of the waveform, in Hz.

        Returns:
            (T, M) float32; T = 1 + samples after trimming // hop_length.

        Raises:
            UserError: nothing but silence, or too short for one window, or samples that are no numbers, or a sample
                rate that cannot be.
        """
        features = self.features
        if waveform.dim() == 2:
            waveform = waveform.mean(0)
        waveform, gain, stretches = _sound(waveform, sample_rate, features)
        frames = self._frames(waveform, stretches)
        return self._mel_power(frames, gain).clamp_(min=features.floor).log_()

    def _frames(self, waveform: Tensor, stretches: list[slice]) -> Tensor:
        """A (T, window_length) view of the stretches behind one another, reflected at both ends."""
        half = self.features.window_length // 2
        samples = waveform.numpy()
        margin = np.empty(half, dtype=samples.dtype)
        padded = np.concatenate([margin, *(samples[stretch] for stretch in stretches), margin])
        end = len(padded) - half
        if end - half <= half:
            raise UserError(f"{end - half} samples of sound are too few; expected over {half}")
        padded[:half] = padded[2 * half : half : -1]
        padded[end:] = padded[end - 2 : end - 2 - half : -1]
        return torch.from_numpy(padded).unfold(0, self.features.window_length, self.features.hop_length)

    def _mel_power(self, frames: Tensor, gain: float) -> Tensor:
        """(T, window_length) frames to the (T, M) power in every band."""
        window = gain * self._window  # instead of one more pass over the samples
        mel_power = torch.empty(len(frames), self.features.n_mels)
        for start in range(0, len(frames), CHUNK):
            spectrum = torch.view_as_real(torch.fft.rfft(frames[start : start + CHUNK] * window)).square_()
            power = spectrum[..., 0] + spectrum[..., 1]
            torch.mm(power, self._filters, out=mel_power[start : start + CHUNK])
        return mel_power


def gain_to(waveform: Tensor, level: float) -> float:
    """The factor that brings the peak of (N,) samples to `level` dB of full scale; 1 for digital silence.

    Raises:
        UserError: a sample is no finite number.
    """
    if not len(waveform):
        return 1.0
    lowest, highest = (extreme.item() for extreme in waveform.aminmax())  # NaN if one sample is
    if not math.isfinite(lowest) or not math.isfinite(highest):
        raise UserError("holds samples that are not finite numbers")
    peak = max(-lowest, highest)
    return 10 ** (level / 20) / peak if peak > SMALLEST_PEAK else 1.0


def stretches_of_sound(waveform: Tensor, sample_rate: int, silence: float = SILENCE_LEVEL) -> list[slice]:
    """What is left without the silences of at least 0.1 s.

    Args:
        waveform: (N,) samples.
        sample_rate: in Hz.
        silence: RMS over 20 ms below which there is silence, in the units of the samples.

    Returns:
        Slices of the waveform in their order; some may be empty.
    """
    window = max(1, round(RMS_SECONDS * sample_rate))
    blocks, rest = divmod(len(waveform), window)
    norms = torch.linalg.vector_norm(waveform[: blocks * window].reshape(blocks, window), dim=1)
    quiet = np.zeros(blocks + bool(rest) + 2, dtype=bool)  # framed by sound, so that every silence has two edges
    quiet[1 : blocks + 1] = norms.numpy() < silence * math.sqrt(window)
    if rest:
        quiet[-2] = torch.linalg.vector_norm(waveform[-rest:]).item() < silence * math.sqrt(window)
    silences = np.flatnonzero(quiet[1:] != quiet[:-1]).reshape(-1, 2)
    shortest = math.ceil(SILENCE_SECONDS * sample_rate / window)
    cuts = window * silences[silences[:, 1] - silences[:, 0] >= shortest]
    edges = [0, *cuts.ravel().tolist(), len(waveform)]
    return [slice(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True)]


def trim(waveform: Tensor, sample_rate: int, features: FeatureConfig) -> Tensor:
    """The sound that features are computed from, for whoever wants to change it before.

    Args:
        waveform: (N,) samples.
        sample_rate: of the waveform, in Hz.
        features: the settings.

    Returns:
        (N',) samples at `features.sample_rate`, at the level of the settings, and without silences if these say so.

    Raises:
        UserError: samples that are no numbers, or a sample rate that cannot be.
    """
    waveform, gain, stretches = _sound(waveform, sample_rate, features)
    return gain * torch.cat([waveform[stretch] for stretch in stretches])


def _sound(waveform: Tensor, sample_rate: int, features: FeatureConfig) -> tuple[Tensor, float, list[slice]]:
    """(N,) samples at the rate of the features, the gain that brings them to their level, and what is not cut."""
    waveform = resample(waveform, sample_rate, features.sample_rate)
    gain = gain_to(waveform, features.level)
    if not features.trim_silence:
        return waveform, gain, [slice(len(waveform))]
    return waveform, gain, stretches_of_sound(waveform, features.sample_rate, SILENCE_LEVEL / gain)
