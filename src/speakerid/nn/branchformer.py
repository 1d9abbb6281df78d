"""Branchformer (Peng et al., 2022) and E-Branchformer (Kim et al., 2022) encoders.

Shapes: B batch, T frames, D width, L layers.
"""

import torch
from torch import Tensor, nn

from speakerid.nn.block_attention import Positions, build_attention
from speakerid.nn.convolution import DepthwiseConv
from speakerid.nn.dropout import Dropout
from speakerid.nn.feed_forward import FeedForward
from speakerid.nn.gating import GatingMLP
from speakerid.nn.masks import zero_padding
from speakerid.nn.stack import LayerStack


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


class BranchformerEncoder(nn.Module):
    """`num_layers` Branchformer blocks.

    Args:
        num_layers, share_layers, layer_drop, concat_layers: see `LayerStack`; concatenated outputs are followed by a
            LayerNorm.
        others: see `BranchformerBlock`.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_gating: int,
        num_layers: int,
        kernel_size: int = 31,
        dropout: float = 0.1,
        positions: Positions = "relative",
        share_layers: bool = False,
        layer_drop: float = 0.0,
        concat_layers: bool = False,
    ) -> None:
        super().__init__()

        def make_block() -> BranchformerBlock:
            return BranchformerBlock(d_model, nhead, dim_gating, kernel_size, dropout, positions)

        self.stack = LayerStack(make_block, num_layers, share_layers, layer_drop, concat_layers)
        self.norm = nn.LayerNorm(num_layers * d_model) if concat_layers else nn.Identity()

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, D) and (B, T) frame mask, true at real frames, to (B, T, D), or (B, T, L·D) with `concat_layers`."""
        return self.norm(self.stack(x, mask))


class EBranchformerEncoder(nn.Module):
    """`num_layers` E-Branchformer blocks.

    Args:
        num_layers, share_layers, layer_drop, concat_layers: see `LayerStack`; concatenated outputs are followed by a
            LayerNorm.
        others: see `EBranchformerBlock`.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int,
        dim_gating: int,
        num_layers: int,
        kernel_size: int = 31,
        merge_kernel_size: int = 31,
        dropout: float = 0.1,
        positions: Positions = "relative",
        share_layers: bool = False,
        layer_drop: float = 0.0,
        concat_layers: bool = False,
    ) -> None:
        super().__init__()

        def make_block() -> EBranchformerBlock:
            return EBranchformerBlock(
                d_model, nhead, dim_feedforward, dim_gating, kernel_size, merge_kernel_size, dropout, positions
            )

        self.stack = LayerStack(make_block, num_layers, share_layers, layer_drop, concat_layers)
        self.norm = nn.LayerNorm(num_layers * d_model) if concat_layers else nn.Identity()

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, D) and (B, T) frame mask, true at real frames, to (B, T, D), or (B, T, L·D) with `concat_layers`."""
        return self.norm(self.stack(x, mask))
