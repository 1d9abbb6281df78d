"""Dropout that is fast on a CPU."""

import torch
from torch import Tensor, nn


class Dropout(nn.Dropout):
    """`torch.nn.Dropout`, several times as fast on a CPU.

    On a CPU PyTorch draws one random number per element, sequentially, which takes longer than the linear layers
    around it. Here one 64-bit draw decides for eight elements, a byte each, so the probability is rounded to a
    multiple of 1/256: 0.1 becomes 0.1016. The kept elements are scaled accordingly.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(…) to (…); in training a share `p` of the elements is zeroed and the others are scaled by 1 / (1 − p)."""
        dropped = round(256 * self.p)
        if not self.training or not 0 < dropped < 256 or input.device.type != "cpu":
            return super().forward(input)
        draws = torch.empty((input.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
        # In place: PyTorch compares bytes into bytes ten times as fast as into booleans.
        kept = draws.view(torch.int8)[: input.numel()].view(input.shape).ge_(dropped - 128)
        return input * kept.to(input.dtype).mul_(256 / (256 - dropped))
