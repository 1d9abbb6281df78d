"""Convolution module of the Conformer.

Shapes: B batch, T frames, D width, C channels.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from speakerid.nn.batch_norm import BatchNorm
from speakerid.nn.dropout import Dropout
from speakerid.nn.masks import zero_padding


class DepthwiseConv(nn.Conv1d):
    """Depthwise convolution over time of batch-first features, zero-padded at both ends.

    Args:
        channels: C.
        kernel_size: in frames, odd.
    """

    def __init__(self, channels: int, kernel_size: int) -> None:
        assert kernel_size % 2, f"kernel_size {kernel_size} is not odd"
        super().__init__(channels, channels, kernel_size, padding=kernel_size // 2, groups=channels)

    def forward(self, input: Tensor) -> Tensor:
        """(B, T, C) to (B, T, C)."""
        # (B, T, C) viewed as an image of height 1 is already in channels-last order, for which
        # PyTorch's CPU convolution is several times faster than for Conv1d's order.
        image = input.transpose(1, 2).unsqueeze(2)
        out = F.conv2d(image, self.weight.unsqueeze(2), self.bias, padding=(0, self.padding[0]), groups=self.groups)  # type: ignore[arg-type]
        return out.squeeze(2).transpose(1, 2)


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
