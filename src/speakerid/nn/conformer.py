"""Conformer encoder (Gulati et al., 2020), the model of Task 2 of the lab report on HW4 (see README.md).

Shapes: B batch, T frames, D width, L layers.
"""

from torch import Tensor, nn

from speakerid.nn.block_attention import Positions, build_attention
from speakerid.nn.convolution import ConvolutionModule
from speakerid.nn.dropout import Dropout
from speakerid.nn.feed_forward import FeedForward
from speakerid.nn.stack import LayerStack


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


class ConformerEncoder(nn.Module):
    """`num_layers` Conformer blocks.

    Args:
        num_layers, share_layers, layer_drop, concat_layers: see `LayerStack`; concatenated outputs are followed by a
            LayerNorm.
        others: see `ConformerBlock`.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int,
        num_layers: int,
        kernel_size: int = 31,
        conv_channels: int | None = None,
        dropout: float = 0.1,
        glu: bool = True,
        macaron: bool = True,
        positions: Positions = "relative",
        share_layers: bool = False,
        layer_drop: float = 0.0,
        concat_layers: bool = False,
    ) -> None:
        super().__init__()

        def make_block() -> ConformerBlock:
            return ConformerBlock(
                d_model, nhead, dim_feedforward, kernel_size, conv_channels, dropout, glu, macaron, positions
            )

        self.stack = LayerStack(make_block, num_layers, share_layers, layer_drop, concat_layers)
        self.norm = nn.LayerNorm(num_layers * d_model) if concat_layers else nn.Identity()

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, D) and (B, T) frame mask, true at real frames, to (B, T, D), or (B, T, L·D) with `concat_layers`."""
        return self.norm(self.stack(x, mask))
