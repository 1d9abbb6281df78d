"""Frame masks: which frames are real and which are padding.

Shapes: B batch, T frames, D width.
"""

import torch
from torch import Tensor


def frame_mask(lengths: Tensor, frames: int) -> Tensor:
    """(B,) lengths to a (B, frames) mask, true at real frames."""
    return torch.arange(frames, device=lengths.device) < lengths[:, None]


def zero_padding(x: Tensor, mask: Tensor | None) -> Tensor:
    """Set padded frames of (B, T, D) to zero; without a mask every frame is real."""
    return x if mask is None else x.masked_fill(~mask[..., None], 0.0)
