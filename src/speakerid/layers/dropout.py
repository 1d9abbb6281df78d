"""Dropout that does not wait for its random numbers."""

import torch
from torch import Tensor, nn


class Dropout(nn.Dropout):
    """`torch.nn.Dropout`, several times as fast on a CPU.

    There PyTorch draws a random number for every element, one after the other, and that takes longer than the
    linear layers around it. Here one 64-bit draw decides on eight elements with a byte each, so the
    probability is rounded to a multiple of 1/256: 0.1 becomes 0.1016. What is kept is scaled accordingly.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(…) to (…), in training with a share `p` of the elements zero and the others scaled by 1 / (1 − p)."""
        dropped = round(256 * self.p)
        if not self.training or not 0 < dropped < 256 or input.device.type != "cpu":
            return super().forward(input)
        draws = torch.empty((input.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
        # In place, for PyTorch compares bytes to bytes ten times as fast as bytes to a bool.
        kept = draws.view(torch.int8)[: input.numel()].view(input.shape).ge_(dropped - 128)
        return input * kept.to(input.dtype).mul_(256 / (256 - dropped))
