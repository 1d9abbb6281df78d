"""Transformer encoder (Vaswani et al., 2017), the model of Task 1 of the lab report on HW4 (see README.md).

Shapes: B batch, T frames, D width, L layers.
"""

from typing import Any, Literal

from torch import Tensor, nn

from speakerid.nn.attention import MultiHeadAttention
from speakerid.nn.dropout import Dropout
from speakerid.nn.encoder import Encoder
from speakerid.nn.layers import FeedForward


class TransformerEncoderLayer(nn.Module):
    """Self-attention and feed-forward network, each with a residual connection and a LayerNorm.

    Computes the same as `torch.nn.TransformerEncoderLayer(batch_first=True)` with the same weights.

    Args:
        d_model: width, a multiple of `nhead`.
        nhead: number of attention heads.
        dim_feedforward: inner width of the feed-forward network.
        dropout: on the attention weights, in the feed-forward network and on both residual branches.
        qkv_bias: biases in the projections to queries, keys and values.
        norm_first: LayerNorm before each branch (Xiong et al., 2020) instead of after each sum.
        positions: positional encoding of the attention.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int,
        dropout: float = 0.1,
        qkv_bias: bool = True,
        norm_first: bool = False,
        positions: Literal["none", "rotary"] = "none",
    ) -> None:
        super().__init__()
        self.norm_first = norm_first
        self.attention = MultiHeadAttention(d_model, nhead, dropout, qkv_bias, rotary=positions == "rotary")
        self.attention_dropout = Dropout(dropout)
        self.attention_norm = nn.LayerNorm(d_model)
        self.feed_forward = FeedForward(d_model, dim_feedforward, dropout, nn.ReLU())
        self.feed_forward_norm = nn.LayerNorm(d_model)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, D) and (B, T) frame mask, true at real frames, to (B, T, D)."""
        if self.norm_first:
            x = x + self.attention_dropout(self.attention(self.attention_norm(x), mask))
            return x + self.feed_forward(self.feed_forward_norm(x))
        x = self.attention_norm(x + self.attention_dropout(self.attention(x, mask)))
        return self.feed_forward_norm(x + self.feed_forward(x))


class TransformerEncoder(Encoder):
    """`num_layers` Transformer layers, followed by a LayerNorm if they are pre-norm or concatenated.

    For the arguments see `TransformerEncoderLayer` and `Encoder`.
    """

    def __init__(self, d_model: int, *args: Any, norm_first: bool = False, **kwargs: Any) -> None:
        super().__init__(
            TransformerEncoderLayer, d_model, *args, norm_first=norm_first, final_norm=norm_first, **kwargs
        )
