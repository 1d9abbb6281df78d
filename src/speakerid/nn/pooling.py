"""Pooling of an utterance's frames to one vector, and mean subtraction.

Shapes: B batch, T frames, D width, H heads.
"""

import torch
from torch import Tensor, nn

from speakerid.nn.layers import zero_padding

VARIANCE_FLOOR = 1e-5
"""Lower bound of a variance, so that the gradient of its square root stays finite."""


class MeanPooling(nn.Module):
    """Average over the real frames."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, D) and (B, T) frame mask to (B, D)."""
        if mask is None:
            return x.mean(1)
        return zero_padding(x, mask).sum(1) / mask.sum(1, keepdim=True)


class MeanSubtraction(nn.Module):
    """Subtract the average over the real frames (cepstral mean normalization, Atal, 1974).

    A microphone's frequency response adds a constant to every log-mel frame, so it is removed with the mean.
    """

    def __init__(self) -> None:
        super().__init__()
        self.mean = MeanPooling()

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, D) and (B, T) frame mask to (B, T, D)."""
        return x - self.mean(x, mask)[:, None]


class StatisticsPooling(nn.Module):
    """Mean and standard deviation of the real frames (Snyder et al., 2017, section 2.2)."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, D) and (B, T) frame mask to (B, 2·D)."""
        if mask is None:
            mean = x.mean(1, keepdim=True)
            variance = (x - mean).square().mean(1, keepdim=True)
            return _mean_and_deviation(mean, variance)
        weights = mask.to(x.dtype) / mask.sum(1, keepdim=True)
        return weighted_statistics(zero_padding(x, mask), weights[..., None])


class FrameWeights(nn.Module):
    """Attention weights of the frames: Linear, tanh, Linear, softmax over time.

    Args:
        d_model: D.
        nhead: H.
        dim_attention: width between the linear layers.
    """

    def __init__(self, d_model: int, nhead: int, dim_attention: int) -> None:
        super().__init__()
        self.expand = nn.Linear(d_model, dim_attention)
        self.score = nn.Linear(dim_attention, nhead, bias=False)  # the softmax would cancel a bias

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, D) and (B, T) frame mask to (B, T, H) weights that sum to one over the real frames."""
        scores = self.score(self.expand(x).tanh())
        if mask is not None:
            scores = scores.masked_fill(~mask[..., None], -torch.inf)
        return scores.softmax(1)


class SelfAttentivePooling(nn.Module):
    """H weighted means of all channels (Lin et al., 2017, section 2.1, without the penalty; Zhu et al., 2018).

    Args:
        d_model: D.
        nhead: H.
        dim_attention: see `FrameWeights`.
    """

    def __init__(self, d_model: int, nhead: int = 1, dim_attention: int = 128) -> None:
        super().__init__()
        self.weights = FrameWeights(d_model, nhead, dim_attention)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, D) and (B, T) frame mask to (B, H·D)."""
        x = zero_padding(x, mask)
        return (self.weights(x, mask).transpose(1, 2) @ x).flatten(1)


class AttentiveStatisticsPooling(nn.Module):
    """Weighted mean and standard deviation (Okabe et al., 2018, section 3).

    The channels form H groups, and each group has its own weights. ECAPA-TDNN has one head per channel (Desplanques et
    al., 2020, section 3.1).

    Args:
        d_model: D, a multiple of `nhead`.
        nhead: H.
        dim_attention: see `FrameWeights`.
    """

    def __init__(self, d_model: int, nhead: int = 1, dim_attention: int = 128) -> None:
        super().__init__()
        assert d_model % nhead == 0, f"d_model {d_model} is not a multiple of nhead {nhead}"
        self.weights = FrameWeights(d_model, nhead, dim_attention)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, D) and (B, T) frame mask to (B, 2·D)."""
        x = zero_padding(x, mask)
        return weighted_statistics(x, self.weights(x, mask))


def weighted_statistics(x: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean and standard deviation over time.

    Args:
        x: (B, T, D), finite at padded frames too.
        weights: (B, T, H), each for one group of D / H channels; they sum to one over time and are zero at padded
            frames.

    Returns:
        (B, 2·D), the means first.
    """
    mean = _weighted_sum(x, weights)
    variance = _weighted_sum((x - mean).square(), weights)  # a difference of squares would lose precision
    return _mean_and_deviation(mean, variance)


def _mean_and_deviation(mean: Tensor, variance: Tensor) -> Tensor:
    """(B, 2·D) of a (B, 1, D) mean and variance."""
    return torch.cat([mean, variance.clamp(min=VARIANCE_FLOOR).sqrt()], -1).flatten(1)


def _weighted_sum(x: Tensor, weights: Tensor) -> Tensor:
    """(B, 1, D) sums over time of (B, T, D), with the (B, T, H) weights of `weighted_statistics`."""
    if weights.shape[-1] == 1:  # a product of matrices needs no memory for the weighted frames
        return weights.transpose(1, 2) @ x
    groups = x.unflatten(-1, (weights.shape[-1], -1))  # (B, T, H, D / H)
    return (weights[..., None] * groups).sum(1).flatten(1)[:, None]
