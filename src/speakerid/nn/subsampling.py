"""Subsampling of frames by a strided convolution.

Shapes: B batch, T frames, D width.
"""

from torch import Tensor, nn

from speakerid.nn.masks import zero_padding


class Subsampling(nn.Module):
    """Convolution over three frames with stride 2.

    Args:
        d_model: width of input and output.
    """

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(d_model, d_model, kernel_size=3, stride=2, padding=1)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """(B, T, D) and (B, T) frame mask to (B, ⌈T/2⌉, D) and its mask; output j sees frames 2j − 1 to 2j + 1."""
        x = self.convolution(zero_padding(x, mask).transpose(1, 2)).transpose(1, 2)
        return x, None if mask is None else mask[:, ::2]
