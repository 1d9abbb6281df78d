"""Attention in chunks of queries, for exported models.

A trace unrolls a Python loop for the length of its example. These functions are compiled instead if they are called in
a trace, so the loop stays one, and the memory of an exported model does not grow with the square of the length.

Shapes: B batch, H heads, T frames, E width of a head, Q queries of a chunk.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def additive(mask: Tensor | None, q: Tensor) -> Tensor:
    """(B, 1, 1, T) boolean mask, true where a key counts, as values to add to scores of queries like `q`."""
    if mask is None:
        return q.new_zeros(1, 1, 1, 1)
    return q.new_zeros(mask.shape).masked_fill(~mask, -torch.inf)


@torch.jit.script_if_tracing
def attend_in_chunks(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, chunk: int) -> Tensor:
    """Scaled dot-product attention of (B, H, T, E) queries, keys and values, with a bias of `additive`."""
    found = []
    for start in range(0, q.shape[2], chunk):
        found.append(F.scaled_dot_product_attention(q[:, :, start : start + chunk], k, v, bias))
    return torch.cat(found, 2)


@torch.jit.script_if_tracing
def attend_with_positions_in_chunks(
    content: Tensor, position: Tensor, k: Tensor, v: Tensor, p: Tensor, bias: Tensor, chunk: int
) -> Tensor:
    """Attention with relative positions, see `RelativePositionAttention`.

    Args:
        content, position: (B, H, T, E) queries with the biases of content and, scaled, of position.
        k, v: (B, H, T, E).
        p: (1, H, E, 2T − 1) projected sinusoids.
        bias: see `additive`.
        chunk: largest Q.
    """
    frames = content.shape[2]
    found = []
    for start in range(0, frames, chunk):
        q = content[:, :, start : start + chunk]
        queries = q.shape[2]
        scores = position[:, :, start : start + chunk] @ p[:, :, :, frames - start - queries : 2 * frames - 1 - start]
        # `relative_shift` for any number of queries.
        rows = F.pad(scores, (0, 1)).flatten(2)[:, :, queries - 1 : queries * (frames + queries) - 1]
        by_key = rows.reshape(q.shape[0], q.shape[1], queries, frames + queries - 1)[:, :, :, :frames]
        found.append(F.scaled_dot_product_attention(q, k, v, by_key + bias))
    return torch.cat(found, 2)
