"""Model from waveforms to embeddings and scores, of tensor operations alone, for export from Python.

Every recording of a batch takes the same steps, and padding is masked: no step depends on a value that Python would
have to read. So batch size and length stay free in an exported model. The caller resamples.

Shapes: B recordings in a batch, N samples, L blocks of R samples, T frames, M mel bands, F frequencies, E width of an
embedding, S speakers, K centers per speaker.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speakerid.audio.log_mel import MIN_PEAK, RMS_SECONDS, SILENCE_LEVEL, SILENCE_SECONDS, mel_filters
from speakerid.config import FeatureConfig
from speakerid.nn.layers import frame_mask
from speakerid.recognition.profiles import Scoring


class WaveformModel(nn.Module):
    """Log-mel front end, embedder and scores of enrolled speakers in sequence.

    Args:
        features: settings of the features that the embedder was trained on.
        embedder: maps (B, T, M) features and (B, T) frame mask to (B, E) embeddings of length 1.
        scoring: coefficients of the scores.

    Raises:
        UserError: see `BatchLogMel`.
    """

    slopes: Tensor
    offsets: Tensor
    curvatures: Tensor

    def __init__(self, features: FeatureConfig, embedder: nn.Module, scoring: Scoring) -> None:
        super().__init__()
        self.log_mel = BatchLogMel(features)
        self.embedder = embedder
        self.register_buffer("slopes", torch.from_numpy(scoring.slopes))
        self.register_buffer("offsets", torch.from_numpy(scoring.offsets))
        self.register_buffer("curvatures", torch.from_numpy(scoring.curvatures[scoring.curvature]))

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Score recordings; shapes as in `BatchLogMel.forward`.

        Returns:
            (B, E) embeddings, (B, S) scores as in `Profiles.scores`, and (B,) durations without pauses in seconds. A
            recording without real frames has duration 0, and its embedding and scores are NaN, which pass no threshold.
        """
        features, mask = self.log_mel(waveforms, lengths)
        empty = ~mask.any(1, keepdim=True)
        embeddings = self.embedder(features, mask | empty)
        lines = (embeddings @ self.slopes.flatten(0, 1).T).unflatten(1, self.offsets.shape) + self.offsets
        scores = lines.amax(2) + embeddings.square() @ self.curvatures.T
        seconds = mask.sum(1) / self.log_mel.features.frames_per_second
        return embeddings.masked_fill(empty, torch.nan), scores.masked_fill(empty, torch.nan), seconds


class BatchLogMel(nn.Module):
    """`speakerid.audio.log_mel.LogMel` for many recordings at once, at the sample rate of the features.

    Args:
        features: settings of the features.

    Raises:
        UserError: see `mel_filters`.
    """

    filters: Tensor
    basis: Tensor

    def __init__(self, features: FeatureConfig) -> None:
        super().__init__()
        self.features = features
        self.register_buffer("filters", torch.from_numpy(mel_filters(features)), persistent=False)
        self.register_buffer("basis", windowed_fourier_basis(features.window_length), persistent=False)

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the features of every recording.

        Args:
            waveforms: (B, N) samples in [-1, 1], N at least 1; padding may have any value.
            lengths: (B,) samples of each recording, 0 to N.

        Returns:
            (B, T, M) features and (B, T) frame mask, true at real frames. A recording that `LogMel` rejects has no real
            frame: one that is silent, shorter than a window, or has samples that are not finite.
        """
        features, half = self.features, self.features.window_length // 2
        recorded = frame_mask(lengths, waveforms.shape[1])
        sound = recorded & waveforms.isfinite()
        damaged = (recorded & ~sound).any(1)
        waveforms = levelled(waveforms.masked_fill(~sound, 0.0), features.level)
        if features.trim_silence:
            waveforms, lengths = without_silence(waveforms, lengths, features.sample_rate)
        power = self._mel_power(reflected(waveforms, lengths, half))
        frames = (lengths + 2 * half - features.window_length) // features.hop_length + 1
        frames = frames.masked_fill(damaged | (lengths <= half), 0)
        return power.clamp(min=features.floor).log(), frame_mask(frames, power.shape[1])

    def _mel_power(self, waveforms: Tensor) -> Tensor:
        """(B, N) waveforms to the (B, T, M) power in every band.

        The Fourier transform is a convolution, which exporters support; fast enough for windows of some hundred values.
        """
        parts = F.conv1d(waveforms[:, None], self.basis, stride=self.features.hop_length)  # (B, 2·F, T)
        cosines, sines = parts.square().chunk(2, 1)
        return (cosines + sines).transpose(1, 2) @ self.filters


def windowed_fourier_basis(window_length: int) -> Tensor:
    """(2·F, 1, window_length) cosines, followed by sines, under a Hann window; F = window_length // 2 + 1."""
    samples = torch.arange(window_length, dtype=torch.float64)
    frequencies = torch.arange(window_length // 2 + 1, dtype=torch.float64)[:, None]
    turns = 2 * math.pi / window_length * (frequencies * samples % window_length)  # small angles are more exact
    hann = 0.5 - 0.5 * torch.cos(2 * math.pi / window_length * samples)
    return (torch.cat([turns.cos(), turns.sin()]) * hann)[:, None].float()


def levelled(waveforms: Tensor, level: float) -> Tensor:
    """Scale each of (B, N) waveforms to a peak of `level` dB of full scale; digital silence is unchanged."""
    peak = waveforms.abs().amax(1, keepdim=True)
    audible = peak > MIN_PEAK
    return torch.where(audible, waveforms / peak.masked_fill(~audible, 1.0) * 10 ** (level / 20), waveforms)


def without_silence(waveforms: Tensor, lengths: Tensor, sample_rate: int) -> tuple[Tensor, Tensor]:
    """Move sound to the front, without pauses: the concatenated `speakerid.audio.log_mel.sound_segments`.

    Args:
        waveforms: (B, N) scaled waveforms, zero in padding.
        lengths: (B,) samples.
        sample_rate: in Hz.

    Returns:
        (B, L · R) samples and (B,) lengths; padding is undefined.
    """
    size = max(1, round(RMS_SECONDS * sample_rate))
    shortest = math.ceil(SILENCE_SECONDS * sample_rate / size)
    n_blocks = waveforms.shape[1] // size + 1
    blocks = F.pad(waveforms, (0, n_blocks * size - waveforms.shape[1])).unflatten(1, (-1, size))
    filled = (lengths[:, None] - size * torch.arange(n_blocks, device=lengths.device)).clamp(0, size)  # (B, L)
    loud = (blocks.square().sum(2).sqrt() >= SILENCE_LEVEL * math.sqrt(size)) | (filled == 0)
    # Segments of sound grow by `shortest` − 1 blocks on both sides, which fills short silences, and shrink again.
    grown = F.max_pool1d(F.pad(loud.float()[:, None], (shortest - 1, shortest - 1), value=1.0), shortest, stride=1)
    kept = (F.max_pool1d(-grown, shortest, stride=1)[:, 0] < 0) & (filled > 0)
    positions = torch.arange(n_blocks, device=lengths.device)
    order = torch.where(kept, positions, positions + n_blocks).argsort(1)  # kept blocks first, in their order
    moved = blocks.gather(1, order[..., None].expand_as(blocks))
    return moved.flatten(1), filled.masked_fill(~kept, 0).sum(1)


def reflected(waveforms: Tensor, lengths: Tensor, margin: int) -> Tensor:
    """(B, N) waveforms to (B, N + 2 · margin), reflected at sample 0 and at each one's last, if it is long enough."""
    positions = torch.arange(-margin, waveforms.shape[1] + margin, device=waveforms.device)
    last = lengths[:, None] - 1
    return waveforms.gather(1, (last - (last - positions.abs()).abs()).clamp(min=0))
