"""Relative positions.

Letters: Q queries, K keys, D width.
"""

import math

import torch
from torch import Tensor


def relative_positions(first: int, last: int, d_model: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Sinusoids of the distances `first`, `first` − 1, …, `last` (Vaswani et al., 2017, section 3.5).

    Args:
        first: greatest distance, query minus key, in frames.
        last: smallest distance.
        d_model: width, sines in the even places and cosines in the odd ones.

    Returns:
        (first − last + 1, D).
    """
    distance = torch.arange(first, last - 1, -1, device=device, dtype=torch.float32)[:, None]
    index = torch.arange(0, d_model, 2, device=device, dtype=torch.float32)
    angle = distance * torch.exp(index * (-math.log(10_000.0) / d_model))
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1)[:, :d_model].to(dtype)


def relative_shift(scores: Tensor) -> Tensor:
    """Align scores by distance to scores by key: out[…, q, k] = scores[…, q, Q − 1 − q + k].

    The padding-and-reshaping trick of Dai et al., 2019 (Transformer-XL, appendix B): one column in front makes
    every row of the reshaped matrix start one place later than the row above it.

    Args:
        scores: (…, Q, K + Q − 1); column c belongs to the distance "last query's to first key" − c.

    Returns:
        (…, Q, K).
    """
    *batch, queries, distances = scores.shape
    padded = torch.nn.functional.pad(scores, (1, 0)).reshape(*batch, distances + 1, queries)
    return padded[..., 1:, :].reshape(*batch, queries, distances)[..., : distances - queries + 1]
