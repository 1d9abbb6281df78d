"""Depthwise convolution over time.

Shapes: B batch, T frames, C channels, K kernel size, L = T + K − 1 frames with padding.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

SHORT = 32
"""Largest T for which products with band matrices are faster in training on a CPU than PyTorch's convolution."""


class DepthwiseConv(nn.Conv1d):
    """Depthwise convolution over time of batch-first features, zero-padded at both ends.

    Args:
        channels: C.
        kernel_size: K in frames, odd.
    """

    def __init__(self, channels: int, kernel_size: int) -> None:
        assert kernel_size % 2, f"kernel_size {kernel_size} is not odd"
        super().__init__(channels, channels, kernel_size, padding=kernel_size // 2, groups=channels)

    def forward(self, input: Tensor) -> Tensor:
        """(B, T, C) to (B, T, C)."""
        assert self.bias is not None
        if input.device.type != "cpu" or torch.jit.is_tracing():  # type: ignore[reportPrivateImportUsage]
            return super().forward(input.transpose(1, 2)).transpose(1, 2)
        weight, bias = self.weight.to(input.dtype), self.bias.to(input.dtype)
        if torch.is_grad_enabled() and input.shape[1] <= SHORT:
            return _BandProduct.apply(input, weight, bias)  # type: ignore[reportReturnType]
        # (B, T, C) seen as an image of height 1 is in channels-last order, for which PyTorch's CPU kernel is fast.
        image = input.transpose(1, 2).unsqueeze(2)
        padding = (0, self.kernel_size[0] // 2)
        return (
            F.conv2d(image, weight.unsqueeze(2), bias, padding=padding, groups=self.groups).squeeze(2).transpose(1, 2)
        )


class _BandProduct(torch.autograd.Function):
    """The convolution of (B, T, C) with (C, 1, K) kernels and (C,) biases, as a matrix product for every channel.

    PyTorch's CPU kernels take most of their time for the gradient of the kernels. Here the frames of a channel are
    multiplied by a band matrix that holds its kernel in every column. Much of the matrix is zero, but products of small
    matrices are several times as fast. The work grows with the square of T.
    """

    @staticmethod
    def forward(ctx: Any, input: Tensor, kernels: Tensor, bias: Tensor) -> Tensor:
        x = _channels_first(input)
        ctx.save_for_backward(x, kernels)
        return _batch_first(_correlate(x, kernels[:, 0], bias))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, kernels = ctx.saved_tensors
        gradient = _channels_first(gradient)
        by_input = _correlate(gradient, kernels[:, 0].flip(1), kernels.new_zeros(len(kernels)))
        by_kernels = _kernel_gradient(x, gradient, kernels.shape[2])
        return _batch_first(by_input), by_kernels[:, None], gradient.sum((1, 2))


def _correlate(x: Tensor, kernels: Tensor, bias: Tensor) -> Tensor:
    """Correlate each channel of (C, B, T) with its one of (C, K) kernels, and add (C,) biases, to (C, B, T)."""
    return torch.baddbmm(bias[:, None, None], _padded(x, kernels.shape[1]), _bands(kernels, x.shape[2]))


def _kernel_gradient(x: Tensor, gradient: Tensor, kernel_size: int) -> Tensor:
    """(C, K) gradient of the kernels, from (C, B, T) inputs and the gradient of the (C, B, T) outputs."""
    products = gradient.mT @ _padded(x, kernel_size)  # (C, T, L), summed over the batch
    # Output t has met tap k at frame t + k of the padded input, so each tap is a diagonal.
    by_channel, by_frame, by_padded_frame = products.stride()
    diagonals = products.as_strided(
        (len(x), x.shape[2], kernel_size), (by_channel, by_frame + by_padded_frame, by_padded_frame)
    )
    return diagonals.sum(1, dtype=torch.promote_types(x.dtype, torch.float32)).to(x.dtype)


def _padded(x: Tensor, kernel_size: int) -> Tensor:
    """(C, B, T) to (C, B, L)."""
    return F.pad(x, (kernel_size // 2, kernel_size // 2))


def _bands(kernels: Tensor, frames: int) -> Tensor:
    """(C, K) kernels to (C, L, T) matrices, with the kernel in rows t to t + K − 1 of column t."""
    channels, kernel_size = kernels.shape
    length = frames + kernel_size - 1
    # A row of L + 1 numbers, repeated and read L at a time, is one further to the right in every row.
    rows = F.pad(kernels, (0, frames))[:, None].expand(channels, frames, length + 1)
    return rows.reshape(channels, -1)[:, : frames * length].view(channels, frames, length).mT


def _channels_first(x: Tensor) -> Tensor:
    """(B, T, C) to contiguous (C, B, T)."""
    return x.flatten(0, 1).t().contiguous().view(x.shape[2], *x.shape[:2])


def _batch_first(x: Tensor) -> Tensor:
    """(C, B, T) to contiguous (B, T, C)."""
    return x.flatten(1).t().contiguous().view(*x.shape[1:], len(x))
