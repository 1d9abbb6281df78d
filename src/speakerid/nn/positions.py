"""Relative positional encoding.

Shapes: Q queries, K keys, D width.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def relative_positions(first: int, last: int, d_model: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Sinusoids of the distances `first`, `first` − 1, …, `last` (Vaswani et al., 2017, section 3.5).

    Args:
        first: greatest distance, query minus key, in frames.
        last: smallest distance.
        d_model: width, with sines at even indices and cosines at odd ones.

    Returns:
        (first − last + 1, D).
    """
    distance = torch.arange(first, last - 1, -1, device=device, dtype=torch.float32)[:, None]
    index = torch.arange(0, d_model, 2, device=device, dtype=torch.float32)
    angle = distance * torch.exp(index * (-math.log(10_000.0) / d_model))
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1)[:, :d_model].to(dtype)


def relative_shift(scores: Tensor) -> Tensor:
    """Turn scores by distance into scores by key: out[…, q, k] = scores[…, q, Q − 1 − q + k].

    In the flattened matrix, the rows of the result start at element Q − 1 and follow every K + Q − 2 elements. This is
    the trick of Dai et al., 2019 (Transformer-XL, appendix B), without the padding and without a copy.

    Args:
        scores: (…, Q, K + Q − 1); column c is for the distance from the last query to the first key, minus c.

    Returns:
        (…, Q, K); a view of `scores` if these are contiguous and Q is at least 2.
    """
    queries, distances = scores.shape[-2:]
    keys = distances - queries + 1
    # With a single query the row is longer than K + Q − 2. A trace has to work for any Q.
    if torch.jit.is_tracing() or queries == 1:  # type: ignore[reportPrivateImportUsage]
        scores, distances = F.pad(scores, (0, 1)), distances + 1
    rows = scores.flatten(-2)[..., queries - 1 : queries * distances - 1].unflatten(-1, (queries, distances - 1))
    return rows[..., :keys]
