"""Batch normalization over the examples of all processes.

Shapes: N examples of this process, C channels.
"""

import torch
from torch import Tensor, nn

from speakerid.base.distributed import is_shared, summed


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
