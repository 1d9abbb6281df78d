"""Rotary positional encoding.

Shapes: T frames, E width of a head.
"""

import math

import torch
from torch import Tensor


def rotate(x: Tensor) -> Tensor:
    """Rotate each pair of adjacent channels by the frame's position (Su et al., 2021, RoFormer, section 3.2.2).

    Pair i of frame t is rotated by t · 10000^(−2i/E). The product of a query and a key then depends on their distance
    only.

    Args:
        x: (…, T, E), E even.

    Returns:
        (…, T, E).
    """
    frames, width = x.shape[-2:]
    assert width % 2 == 0, f"head width {width} is not even"
    dtype = torch.promote_types(x.dtype, torch.float32)  # bfloat16 cannot count frames
    position = torch.arange(frames, device=x.device, dtype=dtype)[:, None]
    index = torch.arange(0, width, 2, device=x.device, dtype=dtype)
    angle = position * torch.exp(index * (-math.log(10_000) / width))
    real, imaginary = x[..., 0::2], x[..., 1::2]
    rotated = (real * angle.cos() - imaginary * angle.sin(), real * angle.sin() + imaginary * angle.cos())
    return torch.stack(rotated, -1).flatten(-2).to(x.dtype)
