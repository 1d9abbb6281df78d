"""Reference implementations of the papers' formulas for the frames of one utterance, with a module's parameters.

Shapes: T frames, D width, H heads, E = D / H, C channels.
"""

import cmath
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speakerid.nn.attention import MultiHeadAttention, RelativePositionAttention
from speakerid.nn.layers import FeedForward


def randomize(module: nn.Module) -> None:
    """Randomize all parameters, since missing norms and biases would go unnoticed if they were the identity."""
    module.double()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    for name, buffer in module.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.5, 2.0)


def norm(layer: nn.LayerNorm, x: Tensor) -> Tensor:
    centered = x - x.mean(-1, keepdim=True)
    return centered / (centered.square().mean(-1, keepdim=True) + 1e-5).sqrt() * layer.weight + layer.bias


def linear(layer: nn.Linear, x: Tensor) -> Tensor:
    return x @ layer.weight.T + (0 if layer.bias is None else layer.bias)


def swish(x: Tensor) -> Tensor:
    return x * x.sigmoid()


def depthwise(layer: nn.Conv1d, x: Tensor) -> Tensor:
    """(T, C) to (T, C), with silence on both sides."""
    (kernel,) = layer.kernel_size
    windows = F.pad(x, (0, 0, kernel // 2, kernel // 2)).unfold(0, kernel, 1)  # (T, C, kernel)
    assert layer.bias is not None
    return (windows * layer.weight[:, 0]).sum(-1) + layer.bias


def feed_forward(module: FeedForward, x: Tensor) -> Tensor:
    return linear(module.project, swish(linear(module.expand, x)))


def attention(module: MultiHeadAttention | RelativePositionAttention, x: Tensor) -> Tensor:
    """(T, D) to (T, D), without positions, with rotary or with relative ones."""
    frames, nhead = len(x), module.nhead
    q, k, v = (linear(p, x).view(frames, nhead, -1) for p in (module.query, module.key, module.value))
    if isinstance(module, RelativePositionAttention):
        scores = relative_scores(module, q, k)
    else:
        if module.rotary:
            q, k = rotated(q), rotated(k)
        scores = torch.einsum("ihe,jhe->hij", q, k)
    weights = (scores / math.sqrt(q.shape[-1])).softmax(-1)
    return linear(module.output, torch.einsum("hij,jhe->ihe", weights, v).flatten(1))


def relative_scores(module: RelativePositionAttention, q: Tensor, k: Tensor) -> Tensor:
    """(T, H, E) queries and keys to (H, T, T) scores."""
    frames, width = len(q), module.position.in_features
    position = torch.arange(frames, dtype=torch.float64)
    period = 10_000 ** (torch.arange(0, width, 2, dtype=torch.float64) / width)
    angle = (position[:, None] - position)[..., None] / period
    sinusoids = torch.stack([angle.sin(), angle.cos()], -1).flatten(-2)  # (T, T, D)
    p = linear(module.position, sinusoids).view(frames, frames, module.nhead, -1)
    content = torch.einsum("ihe,jhe->hij", q + module.content_bias, k)
    return content + torch.einsum("ihe,ijhe->hij", q + module.position_bias, p)


def rotated(x: Tensor) -> Tensor:
    """Multiply each pair of channels of (T, H, E), as a complex number, by e^(i·t·θ)."""
    out = torch.empty_like(x)
    frames, nhead, width = x.shape
    for t in range(frames):
        for h in range(nhead):
            for pair in range(width // 2):
                turn = cmath.exp(1j * t * 10_000 ** (-2 * pair / width))
                number = complex(x[t, h, 2 * pair].item(), x[t, h, 2 * pair + 1].item()) * turn
                out[t, h, 2 * pair], out[t, h, 2 * pair + 1] = number.real, number.imag
    return out
