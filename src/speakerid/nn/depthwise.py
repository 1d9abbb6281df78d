"""Depthwise convolution over time.

Shapes: B batch, T frames, C channels, K kernel size, S frames of a block, L = S + K − 1 frames of its window, N blocks
of all utterances.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

BLOCK = 32
"""S: with more frames, more of a band matrix is zero; with fewer, windows overlap more."""


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
        if not torch.is_grad_enabled():
            # (B, T, C) seen as an image of height 1 is in channels-last order, for which PyTorch's CPU kernel is fast.
            image = input.transpose(1, 2).unsqueeze(2)
            weight, padding = self.weight.unsqueeze(2).to(input.dtype), (0, self.kernel_size[0] // 2)
            out = F.conv2d(image, weight, self.bias.to(input.dtype), padding=padding, groups=self.groups)
            return out.squeeze(2).transpose(1, 2)
        return _Blockwise.apply(input, self.weight.to(input.dtype), self.bias.to(input.dtype))  # type: ignore[reportReturnType]


class _Blockwise(torch.autograd.Function):
    """The convolution of (B, T, C) with (C, 1, K) kernels and (C,) biases, as products of small matrices.

    PyTorch's CPU kernels for depthwise convolutions are slow, above all for the gradient of the kernels. Here a block
    of S frames is the product of its window with a band matrix that holds the kernel in every column. Most of the band
    matrix is zero, but matrix products are several times as fast.
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
    channels, batch, frames = x.shape
    size = min(BLOCK, frames)
    blocks = torch.baddbmm(bias[:, None, None], _windows(x, size, kernels.shape[1]), _bands(kernels, size))
    return blocks.view(channels, batch, -1)[..., :frames]


def _kernel_gradient(x: Tensor, gradient: Tensor, kernel_size: int) -> Tensor:
    """(C, K) gradient of the kernels, from (C, B, T) inputs and the gradient of the (C, B, T) outputs."""
    size = min(BLOCK, x.shape[2])
    blocks = F.pad(gradient, (0, -x.shape[2] % size)).reshape(len(x), -1, size)
    products = blocks.mT @ _windows(x, size, kernel_size)  # (C, S, L), summed over the blocks
    # Frame s of a block has met tap k at frame s + k of the window, so each tap is a diagonal.
    by_block, by_frame, by_window_frame = products.stride()
    diagonals = products.as_strided(
        (len(x), size, kernel_size), (by_block, by_frame + by_window_frame, by_window_frame)
    )
    return diagonals.sum(1, dtype=torch.promote_types(x.dtype, torch.float32)).to(x.dtype)


def _windows(x: Tensor, size: int, kernel_size: int) -> Tensor:
    """(C, B, T) to (C, N, L): every `size` frames with those that the kernel reaches before and after them."""
    radius = kernel_size // 2
    padded = F.pad(x, (radius, -x.shape[2] % size + radius))
    return padded.unfold(2, size + kernel_size - 1, size).reshape(len(x), -1, size + kernel_size - 1)


def _bands(kernels: Tensor, size: int) -> Tensor:
    """(C, K) kernels to (C, L, S) matrices, with the kernel in rows s to s + K − 1 of column s."""
    channels, kernel_size = kernels.shape
    window = size + kernel_size - 1
    # A row of L + 1 numbers, repeated and read L at a time, is one further to the right in every row.
    rows = F.pad(kernels, (0, size))[:, None].expand(channels, size, window + 1)
    return rows.reshape(channels, -1)[:, : size * window].view(channels, size, window).mT


def _channels_first(x: Tensor) -> Tensor:
    """(B, T, C) to contiguous (C, B, T)."""
    return x.flatten(0, 1).t().contiguous().view(x.shape[2], *x.shape[:2])


def _batch_first(x: Tensor) -> Tensor:
    """(C, B, T) to contiguous (B, T, C)."""
    return x.flatten(1).t().contiguous().view(*x.shape[1:], len(x))
