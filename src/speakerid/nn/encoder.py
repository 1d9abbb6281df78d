"""Encoder: blocks in sequence.

Shapes: B batch, T frames, D width, L applications of a block.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class Encoder(nn.Module):
    """`num_layers` blocks in sequence, or one block applied `num_layers` times.

    Args:
        block: builds a block with `forward(x, mask)` from `d_model`, `args` and `kwargs`; called once per set of
            weights, so that independent blocks are initialized differently.
        d_model: D.
        num_layers: L.
        share_layers: apply the same block every time (Lan et al., 2020, ALBERT, section 3.1).
        layer_drop: probability that an utterance skips the last application in training; application l is skipped with
            probability l / L times this (stochastic depth, Huang et al., 2016, section 3), drawn for each utterance.
            Skipped blocks are computed too, so that the graph does not depend on a random number: this regularizes, but
            saves no time. The kept output is not scaled up (as in LayerDrop, Fan et al., 2019), since most blocks end
            in a LayerNorm.
        concat_layers: return the concatenated outputs of all applications, normalized together (Zhang et al., 2022,
            MFA-Conformer, section 2.2), instead of the last one.
        final_norm: LayerNorm at the end, for blocks that do not end in one.
    """

    def __init__(
        self,
        block: Callable[..., nn.Module],
        d_model: int,
        *args: Any,
        num_layers: int,
        share_layers: bool = False,
        layer_drop: float = 0.0,
        concat_layers: bool = False,
        final_norm: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        self.num_layers = num_layers
        self.layer_drop = layer_drop
        self.concat_layers = concat_layers
        blocks = [block(d_model, *args, **kwargs) for _ in range(1 if share_layers else num_layers)]
        self.stack = nn.ModuleDict({"layers": nn.ModuleList(blocks)})  # weights are named stack.layers.0.… on disk
        width = num_layers * d_model if concat_layers else d_model
        self.norm = nn.LayerNorm(width) if final_norm or concat_layers else nn.Identity()

    @property
    def layers(self) -> list[nn.Module]:
        """Blocks with weights of their own: L, or a single one if they are shared."""
        return list(self.stack["layers"].children())

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, D) and (B, T) frame mask, true at real frames, to (B, T, D), or (B, T, L·D) with `concat_layers`."""
        layers, outputs = self.layers, []
        for index in range(self.num_layers):
            y = layers[index % len(layers)](x, mask)
            if self.training and self.layer_drop:
                y = skip_some(x, y, self.layer_drop * (index + 1) / self.num_layers)
            x = y
            if self.concat_layers:
                outputs.append(x)
        return self.norm(torch.cat(outputs, -1) if self.concat_layers else x)


def skip_some(x: Tensor, y: Tensor, p: float) -> Tensor:
    """y, or x with probability p, drawn for each of the B utterances.

    Args:
        x: (B, T, D), input of a layer.
        y: (B, T, D), its output.
        p: probability, below 1.
    """
    return torch.where(torch.rand(len(x), 1, 1, device=x.device) < p, x, y)
