"""Conformer encoder (Gulati et al., 2020), the model of Task 2 of the lab report on HW4 (see README.md).

Shapes: B batch, T frames, D width, L layers, C channels.
"""

from typing import Any

from torch import Tensor, nn

from speakerid.nn.attention import Positions, build_attention
from speakerid.nn.depthwise import DepthwiseConv
from speakerid.nn.dropout import Dropout
from speakerid.nn.encoder import Encoder
from speakerid.nn.layers import BatchNorm, FeedForward, zero_padding


class ConvolutionModule(nn.Module):
    """Pointwise, gate, depthwise, BatchNorm, SiLU, pointwise (Gulati et al., 2020, section 2.2).

    Args:
        d_model: width of input and output.
        kernel_size: of the depthwise convolution in frames, odd.
        channels: C, width of the depthwise convolution; `d_model` in the paper.
        dropout: at the end.
        glu: gated linear unit after the first pointwise convolution, which doubles its output; SiLU if false.
    """

    def __init__(self, d_model: int, kernel_size: int, channels: int, dropout: float, glu: bool = True) -> None:
        super().__init__()
        self.expand = nn.Linear(d_model, 2 * channels if glu else channels)
        self.gate = nn.GLU() if glu else nn.SiLU()
        self.depthwise = DepthwiseConv(channels, kernel_size)
        self.norm = BatchNorm(channels)
        self.activation = nn.SiLU()
        self.project = nn.Linear(channels, d_model)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, D) and (B, T) frame mask to (B, T, D); the pointwise convolutions are `nn.Linear`s."""
        x = self.gate(self.expand(x))
        x = self.depthwise(zero_padding(x, mask))
        x = self.activation(self.norm(x.flatten(0, 1)).view_as(x))
        return self.dropout(self.project(x))


class ConformerBlock(nn.Module):
    """Half a feed-forward step, attention, convolution, half a feed-forward step, LayerNorm.

    Args:
        d_model: width, a multiple of `nhead`.
        nhead: number of attention heads.
        dim_feedforward: inner width of the feed-forward networks.
        kernel_size: of the depthwise convolution in frames, odd.
        conv_channels: channels of the depthwise convolution; by default `d_model`.
        dropout: on the attention weights and in and after every module.
        glu: gated linear unit in the convolution module, see `ConvolutionModule`.
        macaron: a feed-forward network at both ends, each with half a step (Lu et al., 2019); if false, one at the end
            with a full step.
        positions: positional encoding of the attention.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int,
        kernel_size: int = 31,
        conv_channels: int | None = None,
        dropout: float = 0.1,
        glu: bool = True,
        macaron: bool = True,
        positions: Positions = "relative",
    ) -> None:
        super().__init__()
        self.macaron = macaron
        if macaron:
            self.first_norm = nn.LayerNorm(d_model)
            self.first_feed_forward = FeedForward(d_model, dim_feedforward, dropout, nn.SiLU())
        self.attention_norm = nn.LayerNorm(d_model)
        self.attention = build_attention(positions, d_model, nhead, dropout)
        self.attention_dropout = Dropout(dropout)
        self.convolution_norm = nn.LayerNorm(d_model)
        self.convolution = ConvolutionModule(d_model, kernel_size, conv_channels or d_model, dropout, glu)
        self.second_norm = nn.LayerNorm(d_model)
        self.second_feed_forward = FeedForward(d_model, dim_feedforward, dropout, nn.SiLU())
        self.final_norm = nn.LayerNorm(d_model)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, D) and (B, T) frame mask, true at real frames, to (B, T, D)."""
        step = 1 / 2 if self.macaron else 1
        if self.macaron:
            x = x + step * self.first_feed_forward(self.first_norm(x))
        x = x + self.attention_dropout(self.attention(self.attention_norm(x), mask))
        x = x + self.convolution(self.convolution_norm(x), mask)
        x = x + step * self.second_feed_forward(self.second_norm(x))
        return self.final_norm(x)


class ConformerEncoder(Encoder):
    """`num_layers` Conformer blocks; for the arguments see `ConformerBlock` and `Encoder`."""

    def __init__(self, d_model: int, *args: Any, **kwargs: Any) -> None:
        super().__init__(ConformerBlock, d_model, *args, **kwargs)
