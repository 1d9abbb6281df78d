"""Convolutional gating MLP of the Branchformer and E-Branchformer.

Shapes: B batch, T frames, D width, G inner width.
"""

from torch import Tensor, nn

from speakerid.nn.convolution import DepthwiseConv
from speakerid.nn.dropout import Dropout
from speakerid.nn.masks import zero_padding


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
        nn.init.normal_(self.depthwise.weight, std=1e-3)
        nn.init.ones_(self.depthwise.bias)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, D) and (B, T) frame mask, true at real frames, to (B, T, D)."""
        value, gate = self.activation(self.expand(x)).chunk(2, -1)
        gate = self.depthwise(zero_padding(self.norm(gate), mask))
        return self.dropout(self.project(self.dropout(value * gate)))
