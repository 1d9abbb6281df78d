"""Which frames are real.

Letters: B utterances in a batch, T frames, D width.
"""

import torch
from torch import Tensor


def frame_mask(lengths: Tensor, frames: int) -> Tensor:
    """(B,) lengths to a (B, frames) mask, true at real frames."""
    return torch.arange(frames, device=lengths.device) < lengths[:, None]


def zero_padding(x: Tensor, mask: Tensor | None) -> Tensor:
    """(B, T, D) with padded frames set to zero; no mask means that every frame is real."""
    return x if mask is None else x.masked_fill(~mask[..., None], 0.0)
