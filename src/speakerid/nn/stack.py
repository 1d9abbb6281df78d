"""Stack of layers.

Shapes: B batch, T frames, D width, L applications.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class LayerStack(nn.Module):
    """`num_layers` layers in sequence, or one layer applied `num_layers` times.

    Args:
        make_layer: builds a layer with `forward(x, mask)`; called once per set of weights, so that independent layers
            are initialized differently.
        num_layers: L.
        share_layers: apply the same layer every time (Lan et al., 2020, ALBERT, section 3.1).
        layer_drop: probability that an utterance skips the last application in training; application l is skipped with
            probability l / L times this (stochastic depth, Huang et al., 2016, section 3), drawn for each utterance.
            Skipped layers are computed too, so that the graph does not depend on a random number: this regularizes, but
            saves no time. The kept output is not scaled up (as in LayerDrop, Fan et al., 2019), since most layers end
            in a LayerNorm.
        concat_layers: return the concatenated outputs of all applications (Zhang et al., 2022, MFA-Conformer,
            section 2.2) instead of the last one.
    """

    def __init__(
        self,
        make_layer: Callable[[], nn.Module],
        num_layers: int,
        share_layers: bool = False,
        layer_drop: float = 0.0,
        concat_layers: bool = False,
    ) -> None:
        super().__init__()
        self.num_layers = num_layers
        self.layer_drop = layer_drop
        self.concat_layers = concat_layers
        self.layers = nn.ModuleList(make_layer() for _ in range(1 if share_layers else num_layers))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, D) and (B, T) frame mask to (B, T, D), or (B, T, L·D) with `concat_layers`."""
        outputs = []
        for index in range(self.num_layers):
            y = self.layers[index % len(self.layers)](x, mask)
            if self.training and self.layer_drop:
                y = skip_some(x, y, self.layer_drop * (index + 1) / self.num_layers)
            x = y
            if self.concat_layers:
                outputs.append(x)
        return torch.cat(outputs, -1) if self.concat_layers else x


def skip_some(x: Tensor, y: Tensor, p: float) -> Tensor:
    """y, or x with probability p, drawn for each of the B utterances.

    Args:
        x: (B, T, D), input of a layer.
        y: (B, T, D), its output.
        p: probability, below 1.
    """
    return torch.where(torch.rand(len(x), 1, 1, device=x.device) < p, x, y)
