"""Relative positions.

Letters: Q queries, K keys, D width.
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

    Read along its rows from column Q − 1 on, the matrix has the wanted row every K + Q − 2 places: that is the trick of
    Dai et al., 2019 (Transformer-XL, appendix B), without their padding, and copies nothing.

    Args:
        scores: (…, Q, K + Q − 1); column c belongs to the distance "last query's to first key" − c.

    Returns:
        (…, Q, K); of two queries and more a view of `scores`, where its rows lie behind one another.
    """
    queries, distances = scores.shape[-2:]
    keys = distances - queries + 1
    # A single query's row is longer than K + Q − 2. A trace is for any Q.
    if torch.jit.is_tracing() or queries == 1:  # type: ignore[reportPrivateImportUsage]
        scores, distances = F.pad(scores, (0, 1)), distances + 1
    rows = scores.flatten(-2)[..., queries - 1 : queries * distances - 1].unflatten(-1, (queries, distances - 1))
    return rows[..., :keys]
