import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speakerid.nn.encoder import Encoder


class Affine(nn.Module):
    """2x + w at real frames, with a random w: applying it twice differs from applying it once."""

    def __init__(self, _: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(()))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return 2 * x + self.w if mask is None else torch.where(mask[..., None], 2 * x + self.w, x)


def test_independent_layers_start_from_different_weights() -> None:
    encoder = Encoder(Affine, 3, num_layers=3)
    assert len({parameter.item() for parameter in encoder.parameters()}) == 3


def test_a_shared_layer_is_one_set_of_weights() -> None:
    assert len(list(Encoder(Affine, 3, num_layers=3, share_layers=True).parameters())) == 1


@pytest.mark.parametrize("share_layers", [True, False], ids=["shared", "independent"])
@pytest.mark.parametrize("num_layers", [1, 3])
def test_layers_are_applied_in_turn(num_layers: int, share_layers: bool) -> None:
    encoder = Encoder(Affine, 3, num_layers=num_layers, share_layers=share_layers)
    expected = x = torch.randn(2, 4, 3)
    weights = list(encoder.parameters())
    for w in weights * num_layers if share_layers else weights:
        expected = 2 * expected + w
    torch.testing.assert_close(encoder(x), expected)


def test_every_layer_gets_the_mask() -> None:
    x, mask = torch.randn(1, 2, 3), torch.tensor([[True, False]])
    out = Encoder(Affine, 3, num_layers=3)(x, mask)
    assert torch.equal(out[:, 1], x[:, 1])
    assert not torch.isclose(out[:, 0], x[:, 0]).any()


def test_outputs_of_layers_are_concatenated_and_normalized_together() -> None:
    encoder = Encoder(Affine, 3, num_layers=3, concat_layers=True)
    x = torch.randn(2, 4, 3)
    expected = [x]
    for w in encoder.stack.parameters():
        expected.append(2 * expected[-1] + w)
    torch.testing.assert_close(encoder(x), F.layer_norm(torch.cat(expected[1:], -1), (9,)))


class AddOne(nn.Module):
    def __init__(self, _: int) -> None:
        super().__init__()

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return x + 1


def test_later_layers_are_dropped_more_often() -> None:
    encoder, many = Encoder(AddOne, 1, num_layers=4, layer_drop=0.8, concat_layers=True), 20_000
    encoder.register_module("norm", nn.Identity())
    outputs = encoder(torch.zeros(many, 2, 1))  # (B, T, L)
    assert torch.equal(outputs[:, 0], outputs[:, 1])  # an utterance is dropped as a whole
    added = outputs[:, 0].diff(dim=1, prepend=torch.zeros(many, 1))
    for index, p in enumerate([0.2, 0.4, 0.6, 0.8]):
        assert set(added[:, index].tolist()) == {0.0, 1.0}
        assert (added[:, index] == 0).double().mean().item() == pytest.approx(p, abs=0.02)
    dropped = added == 0
    both = (dropped[:, 2] & dropped[:, 3]).double().mean().item()
    assert both == pytest.approx(0.6 * 0.8, abs=0.02)


def test_no_layer_drops_out_in_evaluation() -> None:
    encoder = Encoder(AddOne, 1, num_layers=4, layer_drop=0.8).eval()
    assert torch.equal(encoder(torch.zeros(5, 2, 1)), torch.full((5, 2, 1), 4.0))


def test_a_dropped_layer_gets_no_gradient_from_its_utterance() -> None:
    encoder = Encoder(Affine, 3, num_layers=1, layer_drop=0.5)
    x = torch.randn(200, 1, 1, requires_grad=True)
    (gradient,) = torch.autograd.grad(encoder(x).sum(), x)
    assert set(gradient.flatten().tolist()) == {1.0, 2.0}  # of x, and of 2x + w


def test_layer_drop_compiles_as_a_whole() -> None:
    encoder = Encoder(AddOne, 1, num_layers=2, layer_drop=0.5)
    compiled = torch.compile(encoder, backend="eager", fullgraph=True)
    assert compiled(torch.zeros(3, 2, 1)).shape == (3, 2, 1)
