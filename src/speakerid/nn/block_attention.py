"""Self-attention of a block, by its positional encoding."""

from typing import Literal

from speakerid.nn.attention import MultiHeadAttention, RelativePositionAttention

Positions = Literal["relative", "rotary", "none"]

SelfAttention = MultiHeadAttention | RelativePositionAttention


def build_attention(positions: Positions, d_model: int, nhead: int, dropout: float) -> SelfAttention:
    """Self-attention with `forward(x, mask)` from (B, T, D) and (B, T) frame mask to (B, T, D)."""
    if positions == "relative":
        return RelativePositionAttention(d_model, nhead, dropout)
    return MultiHeadAttention(d_model, nhead, dropout, rotary=positions == "rotary")
