"""Log-mel features. The only module that imports torchaudio, so that everything else outlives it.

Letters: N samples, T frames, M mel bands.
"""

import torch
import torchaudio.functional as F
import torchaudio.transforms as transforms
from torch import Tensor

from speakerid.config import FeatureConfig
from speakerid.errors import UserError

SILENCE_LEVEL = 0.01
"""RMS, as a share of full scale, under which a stretch counts as silence (SoX `silence … 1%`)."""
SILENCE_SECONDS = 0.1
"""Shorter silences stay: they belong to the speech (stops, for instance)."""
RMS_SECONDS = 0.02
SMALLEST_PEAK = 2.0**-31
"""One step of a 32-bit recording; what is quieter is digital silence."""


class LogMel:
    """Waveform to natural-logarithm mel spectrogram: mono, resampled, levelled, trimmed.

    The mel scale is HTK's, without area normalisation; frames are centred, with reflection at both ends.

    Args:
        features: the settings; `FeatureConfig()` is the HW4 corpus's.
    """

    def __init__(self, features: FeatureConfig) -> None:
        self.features = features
        self._power = transforms.MelSpectrogram(
            sample_rate=features.sample_rate,
            n_fft=features.window_length,
            hop_length=features.hop_length,
            f_min=features.f_min,
            n_mels=features.n_mels,
            power=2.0,
        )

    def __call__(self, waveform: Tensor, sample_rate: int) -> Tensor:
        """Features of one recording.

        Args:
            waveform: (N,) or (channels, N) samples in [-1, 1].
            sample_rate: of the waveform, in Hz.

        Returns:
            (T, M) float32; T = 1 + samples after trimming // hop_length.

        Raises:
            UserError: nothing but silence, or too short for one window, or samples that are no numbers.
        """
        features = self.features
        if waveform.dim() == 2:
            waveform = waveform.mean(0)
        if not bool(torch.isfinite(waveform).all()):
            raise UserError("holds samples that are not finite numbers")
        if sample_rate != features.sample_rate:
            waveform = F.resample(waveform, sample_rate, features.sample_rate)
        waveform = set_level(waveform, features.level)
        if features.trim_silence:
            waveform = remove_silence(waveform, features.sample_rate)
        if len(waveform) <= features.window_length // 2:
            raise UserError(
                f"{len(waveform)} samples of sound are too few; expected over {features.window_length // 2}"
            )
        return self._power(waveform).clamp_min(features.floor).log().T.contiguous()


def set_level(waveform: Tensor, level: float) -> Tensor:
    """Scale (N,) samples so that the peak is at `level` dB of full scale; digital silence is left alone."""
    peak = waveform.abs().amax() if len(waveform) else torch.zeros(())
    return waveform * (10 ** (level / 20) / peak) if peak > SMALLEST_PEAK else waveform


def remove_silence(waveform: Tensor, sample_rate: int) -> Tensor:
    """Cut every stretch of at least 0.1 s whose running RMS stays under 1 % of full scale.

    Args:
        waveform: (N,) samples.
        sample_rate: in Hz.

    Returns:
        (N',) samples with N' <= N.
    """
    window = max(1, round(RMS_SECONDS * sample_rate))
    blocks = -(-len(waveform) // window)
    if not blocks:
        return waveform
    padded = torch.nn.functional.pad(waveform, (0, blocks * window - len(waveform)))
    rms = padded.view(blocks, window).square().mean(1).sqrt()
    quiet = rms < SILENCE_LEVEL
    keep = ~quiet
    edges = torch.cat([torch.tensor([True]), quiet[1:] != quiet[:-1]])
    starts = edges.nonzero().flatten().tolist()
    for start, end in zip(starts, [*starts[1:], blocks], strict=True):
        if quiet[start] and (end - start) * window < SILENCE_SECONDS * sample_rate:
            keep[start:end] = True
    return waveform[keep.repeat_interleave(window)[: len(waveform)]]
