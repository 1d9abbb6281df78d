"""Multi-head self-attention without positions, with rotary ones and with relative ones.

Shapes: B batch, T frames, D width, H heads, E = D / H width of a head, Q queries, K keys.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speakerid.nn.dropout import Dropout
from speakerid.nn.traced_attention import additive, attend_in_chunks, attend_with_positions_in_chunks

Positions = Literal["relative", "rotary", "none"]

QUERY_CHUNK = 256
"""Queries processed at a time, so that their scores stay in the cache and fewer unused distances are scored."""


class MultiHeadAttention(nn.Module):
    """Scaled dot-product self-attention with H heads (Vaswani et al., 2017, section 3.2).

    Args:
        d_model: width of input and output, a multiple of `nhead`.
        nhead: number of heads.
        dropout: on the attention weights.
        qkv_bias: biases in the projections to queries, keys and values.
        rotary: rotate queries and keys by their positions, see `rotate`; without it attention ignores order.
    """

    def __init__(self, d_model: int, nhead: int, dropout: float, qkv_bias: bool = True, rotary: bool = False) -> None:
        super().__init__()
        assert d_model % nhead == 0, f"d_model {d_model} is not a multiple of nhead {nhead}"
        self.nhead = nhead
        self.rotary = rotary
        self.dropout = Dropout(dropout)
        self.query = nn.Linear(d_model, d_model, bias=qkv_bias)
        self.key = nn.Linear(d_model, d_model, bias=qkv_bias)
        self.value = nn.Linear(d_model, d_model, bias=qkv_bias)
        self.output = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend over the real frames.

        Args:
            x: (B, T, D).
            mask: (B, T), true at real frames; None if all frames are real.

        Returns:
            (B, T, D); padded frames are undefined.
        """
        q, k, v = (split_heads(project(x), self.nhead) for project in (self.query, self.key, self.value))
        if self.rotary:
            q, k = rotate(q), rotate(k)
        return self.output(join_heads(attend(q, k, v, key_mask(mask), self.dropout)))


class RelativePositionAttention(nn.Module):
    """Self-attention that scores content and distance (Dai et al., 2019, section 3.3; Gulati et al., 2020).

    With queries q, keys k and projected sinusoids p: score[i, j] = ((q_i + u)·k_j + (q_i + v)·p_{i−j}) / √E.

    Args:
        d_model: width of input and output, a multiple of `nhead`.
        nhead: number of heads.
        dropout: on the attention weights.
    """

    def __init__(self, d_model: int, nhead: int, dropout: float) -> None:
        super().__init__()
        assert d_model % nhead == 0, f"d_model {d_model} is not a multiple of nhead {nhead}"
        self.nhead = nhead
        self.dropout = Dropout(dropout)
        self.query = nn.Linear(d_model, d_model)
        self.key = nn.Linear(d_model, d_model)
        self.value = nn.Linear(d_model, d_model)
        self.position = nn.Linear(d_model, d_model, bias=False)
        self.content_bias = nn.Parameter(torch.zeros(nhead, d_model // nhead))
        self.position_bias = nn.Parameter(torch.zeros(nhead, d_model // nhead))
        self.output = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend over the real frames; shapes as in `MultiHeadAttention.forward`."""
        q, k, v = (split_heads(project(x), self.nhead) for project in (self.query, self.key, self.value))
        frames, d_model = x.shape[1:]
        positions = relative_positions(frames - 1, 1 - frames, d_model, x.device, x.dtype)
        p = split_heads(self.position(positions)[None], self.nhead).transpose(2, 3)  # (1, H, E, 2T − 1)
        if torch.jit.is_tracing():  # type: ignore[reportPrivateImportUsage]
            return self.output(join_heads(self._attend_traced(q, k, v, p, mask)))
        chunks = [self._attend(q, k, v, p, start, mask) for start in range(0, frames, QUERY_CHUNK)]
        return self.output(join_heads(chunks[0] if len(chunks) == 1 else torch.cat(chunks, 2)))

    def _attend_traced(self, q: Tensor, k: Tensor, v: Tensor, p: Tensor, mask: Tensor | None) -> Tensor:
        """Attend with all queries, in a loop that a trace does not unroll."""
        content, position = q + self.content_bias[:, None], (q + self.position_bias[:, None]) / math.sqrt(q.shape[-1])
        return attend_with_positions_in_chunks(content, position, k, v, p, additive(key_mask(mask), q), QUERY_CHUNK)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, p: Tensor, start: int, mask: Tensor | None) -> Tensor:
        """Attend with at most `QUERY_CHUNK` of the (B, H, T, E) queries, from `start` on."""
        frames, head_width = q.shape[2:]
        q = q[:, :, start : start + QUERY_CHUNK]
        p = p[..., frames - start - q.shape[2] : 2 * frames - 1 - start]  # from (last query, first key) on
        bias = relative_shift(((q + self.position_bias[:, None]) / math.sqrt(head_width)) @ p)
        if mask is not None:  # a sum takes a fraction of the time of filling
            bias = bias + bias.new_zeros(mask.shape).masked_fill(~mask, -torch.inf)[:, None, None]
        return attend(q + self.content_bias[:, None], k, v, bias, self.dropout)


def build_attention(
    positions: Positions, d_model: int, nhead: int, dropout: float
) -> MultiHeadAttention | RelativePositionAttention:
    """Self-attention with `forward(x, mask)` from (B, T, D) and (B, T) frame mask to (B, T, D)."""
    if positions == "relative":
        return RelativePositionAttention(d_model, nhead, dropout)
    return MultiHeadAttention(d_model, nhead, dropout, rotary=positions == "rotary")


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout: Dropout) -> Tensor:
    """Scaled dot-product attention (Vaswani et al., 2017, section 3.2.1) with dropout on the weights.

    Args:
        q: (B, H, Q, E) queries.
        k: (B, H, T, E) keys.
        v: (B, H, T, E) values.
        mask: values to add to the scores, or booleans, true where a key counts; None if all keys count.
        dropout: applied to the weights.

    Returns:
        (B, H, Q, E).
    """
    if torch.jit.is_tracing():  # type: ignore[reportPrivateImportUsage]
        return attend_in_chunks(q, k, v, additive(mask, q), QUERY_CHUNK)
    if not (dropout.training and q.device.type == "cpu"):
        return F.scaled_dot_product_attention(q, k, v, mask, dropout.p if dropout.training else 0.0)
    # PyTorch's CPU version is slower with dropout, forward and backward: it draws one random number per weight.
    scores = (q / math.sqrt(q.shape[-1])) @ k.mT
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
    return dropout(scores.softmax(-1)) @ v


def split_heads(x: Tensor, nhead: int) -> Tensor:
    """(B, T, D) to (B, H, T, E)."""
    return x.reshape(*x.shape[:2], nhead, -1).transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    """(B, H, T, E) to (B, T, D)."""
    return x.transpose(1, 2).flatten(2)


def key_mask(mask: Tensor | None) -> Tensor | None:
    """(B, T) frame mask to the (B, 1, 1, T) mask that hides padded keys from every query."""
    return None if mask is None else mask[:, None, None]


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
    if queries == 1:  # the row is longer than K + Q − 2
        scores, distances = F.pad(scores, (0, 1)), distances + 1
    rows = scores.flatten(-2)[..., queries - 1 : queries * distances - 1].unflatten(-1, (queries, distances - 1))
    return rows[..., :keys]


def rotate(x: Tensor) -> Tensor:
    """Rotate each pair of adjacent channels by the frame's position (Su et al., 2021, RoFormer, section 3.2.2).

    Pair i of frame t is rotated by t · 10000^(−2i/E). The product of a query and a key then depends on their distance
    only.

    Args:
        x: (…, T, E), E even.

    Returns:
        (…, T, E).
    """
    frames, width = x.shape[-2:]
    assert width % 2 == 0, f"head width {width} is not even"
    dtype = torch.promote_types(x.dtype, torch.float32)  # bfloat16 cannot count frames
    position = torch.arange(frames, device=x.device, dtype=dtype)[:, None]
    index = torch.arange(0, width, 2, device=x.device, dtype=dtype)
    angle = position * torch.exp(index * (-math.log(10_000) / width))
    real, imaginary = x[..., 0::2], x[..., 1::2]
    rotated = (real * angle.cos() - imaginary * angle.sin(), real * angle.sin() + imaginary * angle.cos())
    return torch.stack(rotated, -1).flatten(-2).to(x.dtype)
