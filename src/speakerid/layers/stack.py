"""Layers on top of one another."""

from collections.abc import Callable

from torch import Tensor, nn


class LayerStack(nn.Module):
    """`num_layers` applications of independent layers, or of one.

    Args:
        make_layer: builds a layer with `forward(x, mask)`; called once for each set of weights, so that
            independent layers start from different values.
        num_layers: applications.
        share_layers: apply one layer's weights every time (Lan et al., 2020, ALBERT, section 3.1).
    """

    def __init__(self, make_layer: Callable[[], nn.Module], num_layers: int, share_layers: bool = False) -> None:
        super().__init__()
        self.num_layers = num_layers
        self.layers = nn.ModuleList(make_layer() for _ in range(1 if share_layers else num_layers))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, D) and (B, T) frame mask to (B, T, D)."""
        for place in range(self.num_layers):
            x = self.layers[place % len(self.layers)](x, mask)
        return x
