"""Branchformer (Peng et al., 2022) and E-Branchformer (Kim et al., 2022) encoders.

Shapes: B batch, T frames, D width, L layers, G inner width of the gating MLP.
"""

from typing import Any

import torch
from torch import Tensor, nn

from speakerid.nn.attention import Positions, build_attention
from speakerid.nn.depthwise import DepthwiseConv
from speakerid.nn.dropout import Dropout
from speakerid.nn.encoder import Encoder
from speakerid.nn.layers import FeedForward, zero_padding


class GatingMLP(nn.Module):
    """Linear, GELU, one half gating the other, linear (cgMLP, Sakuma et al., 2022; Peng et al., 2022, section 2.3).

    The gate is a depthwise convolution of its half, so each frame is weighted by its neighbors. It is initialized close
    to one (Liu et al., 2021, gMLP, section 2.1).

    Args:
        d_model: width of input and output.
        dim_gating: G, even.
        kernel_size: of the depthwise convolution in frames, odd.
        dropout: after the gate and at the end.
    """

    def __init__(self, d_model: int, dim_gating: int, kernel_size: int, dropout: float) -> None:
        super().__init__()
        assert dim_gating % 2 == 0, f"dim_gating {dim_gating} is not even"
        self.expand = nn.Linear(d_model, dim_gating)
        self.activation = nn.GELU()
        self.norm = nn.LayerNorm(dim_gating // 2)
        self.depthwise = DepthwiseConv(dim_gating // 2, kernel_size)
        self.project = nn.Linear(dim_gating // 2, d_model)
        self.dropout = Dropout(dropout)
        assert self.depthwise.bias is not None
        # Not `normal_`, which on the meta device imports torch._dynamo; that takes as long as torch itself.
        self.depthwise.weight = nn.Parameter(torch.normal(0.0, 1e-3, self.depthwise.weight.shape))
        nn.init.ones_(self.depthwise.bias)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, D) and (B, T) frame mask, true at real frames, to (B, T, D)."""
        value, gate = self.activation(self.expand(x)).chunk(2, -1)
        gate = self.depthwise(zero_padding(self.norm(gate), mask))
        return self.dropout(self.project(self.dropout(value * gate)))


class Branches(nn.Module):
    """Parallel branches: attention for global context, a gating MLP for local context.

    Args:
        d_model: width, a multiple of `nhead`.
        nhead: number of attention heads.
        dim_gating: inner width of the gating MLP, even.
        kernel_size: of the gate's depthwise convolution in frames, odd.
        dropout: on the attention weights, in the gating MLP and after both.
        positions: positional encoding of the attention.
    """

    def __init__(
        self, d_model: int, nhead: int, dim_gating: int, kernel_size: int, dropout: float, positions: Positions
    ) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(d_model)
        self.attention = build_attention(positions, d_model, nhead, dropout)
        self.attention_dropout = Dropout(dropout)
        self.gating_norm = nn.LayerNorm(d_model)
        self.gating = GatingMLP(d_model, dim_gating, kernel_size, dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, D) and (B, T) frame mask, true at real frames, to (B, T, 2·D)."""
        attended = self.attention_dropout(self.attention(self.attention_norm(x), mask))
        return torch.cat([attended, self.gating(self.gating_norm(x), mask)], -1)


class BranchformerBlock(nn.Module):
    """Two branches, concatenated and merged by a linear layer, LayerNorm (Peng et al., 2022, section 2).

    Args: see `Branches`.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_gating: int,
        kernel_size: int = 31,
        dropout: float = 0.1,
        positions: Positions = "relative",
    ) -> None:
        super().__init__()
        self.branches = Branches(d_model, nhead, dim_gating, kernel_size, dropout, positions)
        self.merge = nn.Linear(2 * d_model, d_model)
        self.merge_dropout = Dropout(dropout)
        self.final_norm = nn.LayerNorm(d_model)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, D) and (B, T) frame mask, true at real frames, to (B, T, D)."""
        return self.final_norm(x + self.merge_dropout(self.merge(self.branches(x, mask))))


class BranchformerEncoder(Encoder):
    """`num_layers` Branchformer blocks; for the arguments see `BranchformerBlock` and `Encoder`."""

    def __init__(self, d_model: int, *args: Any, **kwargs: Any) -> None:
        super().__init__(BranchformerBlock, d_model, *args, **kwargs)


class EBranchformerBlock(nn.Module):
    """Half a feed-forward step, two branches merged by convolution, half a feed-forward step, LayerNorm.

    Kim et al., 2022, section 3: a depthwise convolution over neighboring frames merges the branches, and the
    feed-forward networks are those of the Conformer.

    Args:
        dim_feedforward: inner width of both feed-forward networks.
        merge_kernel_size: of the merging depthwise convolution in frames, odd.
        others: see `Branches`.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int,
        dim_gating: int,
        kernel_size: int = 31,
        merge_kernel_size: int = 31,
        dropout: float = 0.1,
        positions: Positions = "relative",
    ) -> None:
        super().__init__()
        self.first_norm = nn.LayerNorm(d_model)
        self.first_feed_forward = FeedForward(d_model, dim_feedforward, dropout, nn.SiLU())
        self.branches = Branches(d_model, nhead, dim_gating, kernel_size, dropout, positions)
        self.merge_depthwise = DepthwiseConv(2 * d_model, merge_kernel_size)
        self.merge = nn.Linear(2 * d_model, d_model)
        self.merge_dropout = Dropout(dropout)
        self.second_norm = nn.LayerNorm(d_model)
        self.second_feed_forward = FeedForward(d_model, dim_feedforward, dropout, nn.SiLU())
        self.final_norm = nn.LayerNorm(d_model)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, D) and (B, T) frame mask, true at real frames, to (B, T, D)."""
        x = x + self.first_feed_forward(self.first_norm(x)) / 2
        branches = zero_padding(self.branches(x, mask), mask)
        x = x + self.merge_dropout(self.merge(branches + self.merge_depthwise(branches)))
        x = x + self.second_feed_forward(self.second_norm(x)) / 2
        return self.final_norm(x)


class EBranchformerEncoder(Encoder):
    """`num_layers` E-Branchformer blocks; for the arguments see `EBranchformerBlock` and `Encoder`."""

    def __init__(self, d_model: int, *args: Any, **kwargs: Any) -> None:
        super().__init__(EBranchformerBlock, d_model, *args, **kwargs)
