import pytest
import torch
from torch import Tensor, nn

from speakerid.nn.dropout import Dropout
from speakerid.nn.layers import FeedForward

MANY = 100_003
"""Number of elements, not a multiple of the eight that share a draw."""


def rounded(p: float) -> float:
    """A probability rounded to the resolution of a byte."""
    return round(256 * p) / 256


each_p = pytest.mark.parametrize("p", [0.1, 0.5, 0.9])


@each_p
def test_a_share_p_is_zero_and_the_mean_is_kept(p: float) -> None:
    out = Dropout(p)(torch.ones(MANY))
    five_sigma = 5 * (p * (1 - p) / MANY) ** 0.5
    assert (out == 0).double().mean().item() == pytest.approx(rounded(p), abs=five_sigma)
    assert out.mean().item() == pytest.approx(1, abs=five_sigma / (1 - p))


@each_p
def test_kept_elements_are_scaled(p: float) -> None:
    x = torch.randn(MANY)
    out = Dropout(p)(x)
    kept = out != 0
    torch.testing.assert_close(out[kept], x[kept] / (1 - rounded(p)))


@each_p
@pytest.mark.parametrize("apart", [1, 2, 4, 7, 8])
def test_elements_that_share_a_draw_are_dropped_independently(p: float, apart: int) -> None:
    dropped = Dropout(p)(torch.ones(MANY)) == 0
    both = (dropped[apart:] & dropped[:-apart]).double().mean().item()
    assert both == pytest.approx(p * p, abs=5 * p / MANY**0.5)


@pytest.mark.parametrize("dropout", [Dropout(0.5).eval(), Dropout(0.0)], ids=["eval", "p=0"])
def test_identity(dropout: Dropout) -> None:
    x = torch.randn(3, 5)
    assert torch.equal(dropout(x), x)


def test_the_seed_decides() -> None:
    dropout, x = Dropout(0.5), torch.ones(7, 11)

    def after_seed(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return dropout(x)

    assert torch.equal(after_seed(1), after_seed(1))
    assert not torch.equal(after_seed(1), after_seed(2))
    assert not torch.equal(dropout(x), dropout(x))


def test_gradients_pass_exactly_where_kept() -> None:
    x = torch.randn(13, 7, requires_grad=True)
    out = Dropout(0.3)(x)
    (gradient,) = torch.autograd.grad(out.sum(), x)
    torch.testing.assert_close(gradient, (out != 0) / (1 - rounded(0.3)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (3,), (5, 1, 3), (2, 0, 4)], ids=str)
def test_any_shape_and_precision(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    out = Dropout(0.5)(torch.ones(shape, dtype=dtype))
    assert out.shape == shape
    assert out.dtype == dtype
    assert set(out.flatten().tolist()) <= {0.0, 2.0}


def test_a_transposed_input_keeps_its_order() -> None:
    x = torch.arange(1.0, 16).view(3, 5).T
    out = Dropout(0.5)(x)
    torch.testing.assert_close(out, torch.where(out == 0, 0.0, 2 * x))


def test_a_probability_next_to_one_drops_nearly_everything() -> None:
    assert (Dropout(1 - 1e-6)(torch.ones(1000)) == 0).double().mean() > 0.99


def test_a_probability_too_small_for_a_byte_is_not_ignored() -> None:
    assert (Dropout(1e-3)(torch.ones(MANY)) == 0).double().mean().item() == pytest.approx(1e-3, rel=0.6)


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.SiLU(), nn.GELU()], ids=["relu", "silu", "gelu"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", [(2, 5, 6), (7, 6)], ids=["batch", "frames"])
def test_feed_forward_equals_its_formula_on_the_kept_elements(
    activation: nn.Module, dtype: torch.dtype, shape: tuple[int, ...]
) -> None:
    network = FeedForward(6, 40, 0.3, activation).to(dtype)
    parameters = list(network.parameters())
    x = torch.randn(shape, dtype=dtype, requires_grad=True)
    torch.manual_seed(1)
    out = network(x)
    weighting = torch.randn_like(out)
    found = torch.autograd.grad((out * weighting).sum(), [x, *parameters])

    torch.manual_seed(1)
    hidden = activation(network.expand(x))
    expected = network.dropout(network.project(network.dropout(hidden)))
    wanted = torch.autograd.grad((expected * weighting).sum(), [x, *parameters])
    tolerance = 0.05 if dtype == torch.bfloat16 else 1e-5
    torch.testing.assert_close(out, expected, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.SiLU()], ids=["relu", "silu"])
def test_feed_forward_passes_on_values_that_are_not_finite(activation: nn.Module) -> None:
    network = FeedForward(3, 64, 0.5, activation)
    assert not network(torch.full((2, 3), torch.nan)).isfinite().any()
