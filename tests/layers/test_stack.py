import pytest
import torch
from torch import Tensor, nn

from speakerid.layers.stack import LayerStack


class Affine(nn.Module):
    """2x + w at real frames, with a random w: applying it twice differs from applying it once."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(()))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return 2 * x + self.w if mask is None else torch.where(mask[..., None], 2 * x + self.w, x)


def test_independent_layers_start_from_different_weights() -> None:
    stack = LayerStack(Affine, num_layers=3)
    assert len({parameter.item() for parameter in stack.parameters()}) == 3


def test_a_shared_layer_is_one_set_of_weights() -> None:
    assert len(list(LayerStack(Affine, num_layers=3, share_layers=True).parameters())) == 1


@pytest.mark.parametrize("share_layers", [True, False], ids=["shared", "independent"])
@pytest.mark.parametrize("num_layers", [1, 3])
def test_layers_are_applied_in_turn(num_layers: int, share_layers: bool) -> None:
    stack = LayerStack(Affine, num_layers, share_layers)
    expected = x = torch.randn(2, 4, 3)
    weights = list(stack.parameters())
    for w in weights * num_layers if share_layers else weights:
        expected = 2 * expected + w
    torch.testing.assert_close(stack(x), expected)


def test_every_layer_gets_the_mask() -> None:
    x, mask = torch.randn(1, 2, 3), torch.tensor([[True, False]])
    out = LayerStack(Affine, num_layers=3)(x, mask)
    assert torch.equal(out[:, 1], x[:, 1])
    assert not torch.isclose(out[:, 0], x[:, 0]).any()
