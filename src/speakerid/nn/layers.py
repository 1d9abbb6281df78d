"""Small layers that the blocks share, and frame masks.

Shapes: B batch, T frames, D width, C channels, N examples of this process.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speakerid.base.distributed import is_shared, summed
from speakerid.nn.dropout import Dropout, DroppedReLU, DroppedSiLU


def frame_mask(lengths: Tensor, frames: int) -> Tensor:
    """(B,) lengths to a (B, frames) mask, true at real frames."""
    return torch.arange(frames, device=lengths.device) < lengths[:, None]


def zero_padding(x: Tensor, mask: Tensor | None) -> Tensor:
    """Set padded frames of (B, T, D) to zero; without a mask every frame is real."""
    return x if mask is None else x.masked_fill(~mask[..., None], 0.0)


class FeedForward(nn.Module):
    """Two linear layers applied to every frame (Vaswani et al., 2017, section 3.3).

    Args:
        d_model: width of input and output.
        dim_feedforward: width between them.
        dropout: after the activation and at the end.
        activation: ReLU in the Transformer, SiLU ("swish") in the Conformer.
    """

    def __init__(self, d_model: int, dim_feedforward: int, dropout: float, activation: nn.Module) -> None:
        super().__init__()
        self.expand = nn.Linear(d_model, dim_feedforward)
        self.activation = activation
        self.project = nn.Linear(dim_feedforward, d_model)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(…, D) to (…, D)."""
        hidden = self.expand(x)
        together = {nn.ReLU: DroppedReLU, nn.SiLU: DroppedSiLU}.get(type(self.activation))
        if together is None or not self.dropout.draws_bytes(hidden):
            return self.dropout(self.project(self.dropout(self.activation(hidden))))
        hidden = together.apply(hidden, self.dropout.draw(hidden))
        # Scales the weights instead of the hidden frames, which are more.
        weight = self.project.weight * self.dropout.scale
        return self.dropout(F.linear(hidden, weight, self.project.bias))


class StridedConv(nn.Conv1d):
    """Convolution over three frames with stride 2 of batch-first features, as one matrix product.

    PyTorch's CPU convolution takes almost twice as long in bfloat16.

    Args:
        d_model: width of input and output.
    """

    def __init__(self, d_model: int) -> None:
        super().__init__(d_model, d_model, kernel_size=3, stride=2, padding=1)

    def forward(self, input: Tensor) -> Tensor:
        """(B, T, D) to (B, ⌈T/2⌉, D)."""
        x = F.pad(input, (0, 0, 1, 1))
        windows = torch.cat([x[:, :-2:2], x[:, 1:-1:2], x[:, 2::2]], -1)
        return F.linear(windows, self.weight.transpose(1, 2).flatten(1), self.bias)


class Subsampling(nn.Module):
    """Convolution over three frames with stride 2.

    Args:
        d_model: width of input and output.
    """

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.convolution = StridedConv(d_model)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """(B, T, D) and (B, T) frame mask to (B, ⌈T/2⌉, D) and its mask; output j sees frames 2j − 1 to 2j + 1."""
        return self.convolution(zero_padding(x, mask)), None if mask is None else mask[:, ::2]


class BatchNorm(nn.BatchNorm1d):
    """`torch.nn.BatchNorm1d` with the statistics of the whole batch, across all processes that share it.

    `torch.nn.SyncBatchNorm` does the same on GPUs only. Mean and variance take two passes, since a difference of sums
    of squares would lose precision.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(N, C) to (N, C); N may differ between processes."""
        if not self.training or not is_shared():
            return super().forward(input)
        x = input.to(self.weight.dtype)
        count = summed(x.new_full((), len(x)))
        mean = summed(x.sum(0)) / count
        centered = x - mean
        variance = summed(centered.square().sum(0)) / count
        self._track(mean.detach(), (variance * count / (count - 1)).detach())
        return (centered * (variance + self.eps).rsqrt() * self.weight + self.bias).to(input.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.momentum is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
