"""AdamW and Muon compared with PyTorch's, Muon also with its formula by singular values; which weights it trains."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog
from torch import Tensor, nn

from speakerid.config import ModelConfig, TrainConfig, parse
from speakerid.nn.classifier import SpeakerClassifier
from speakerid.training.optimizers import COEFFICIENTS, AdamW, Muon, optimizers, orthogonalized, restore

LEARNING_RATE, WEIGHT_DECAY = 0.02, 0.1
SHAPES = [(6, 4), (4, 6), (4, 6), (5, 5), (8, 3, 5), (6, 1, 7)]


def parameters(dtype: torch.dtype = torch.float64) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)) for shape in SHAPES]


def gradients(step: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1 + step)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in SHAPES]


def moved(found: list[nn.Parameter], optimizer: torch.optim.Optimizer, steps: int = 3) -> None:
    for step in range(steps):
        for parameter, gradient in zip(found, gradients(step), strict=True):
            parameter.grad = gradient.reshape(parameter.shape).to(parameter.dtype)
        optimizer.step()


def muon(found: list[nn.Parameter]) -> Muon:
    optimizer = Muon([{"params": found, "weight_decay": WEIGHT_DECAY}])
    optimizer.param_groups[0]["lr"] = torch.tensor(LEARNING_RATE, dtype=torch.float64)
    return optimizer


def adamw(found: list[nn.Parameter]) -> AdamW:
    optimizer = AdamW([{"params": found, "weight_decay": WEIGHT_DECAY}])
    optimizer.param_groups[0]["lr"] = torch.tensor(LEARNING_RATE)
    return optimizer


def plain_adamw(found: list[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.AdamW(found, torch.tensor(LEARNING_RATE), weight_decay=WEIGHT_DECAY, fused=True)


def test_adamw_steps_and_states_are_pytorchs() -> None:
    found, expected = parameters(torch.float32), parameters(torch.float32)
    ours, plain = adamw(found), plain_adamw(expected)
    moved(found, ours)
    moved(expected, plain)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert (found[0] - parameters(torch.float32)[0]).abs().max() > LEARNING_RATE
    for a, b in zip(found, expected, strict=True):
        assert ours.state[a].keys() == plain.state[b].keys()
        assert all(torch.equal(value, plain.state[b][name]) for name, value in ours.state[a].items())


def test_adamw_continues_from_the_state_of_pytorchs() -> None:
    """Checkpoints of earlier versions contain it."""
    found, expected = parameters(torch.float32), parameters(torch.float32)
    plain = plain_adamw(expected)
    moved(expected, plain)
    for a, b in zip(found, expected, strict=True):
        a.data.copy_(b.data)
    ours = adamw(found)
    assert restore([ours], [copy.deepcopy(plain.state_dict())]) == pytest.approx(LEARNING_RATE)
    moved(found, ours)
    moved(expected, plain)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_a_step_is_the_formula_by_singular_values() -> None:
    """Every singular value s of the momentum becomes h(g(f(s / norm))), and its directions do not change."""
    found, expected = parameters(), parameters()
    moved(found, muon(found))
    momenta = [torch.zeros_like(parameter) for parameter in expected]
    for step in range(3):
        for parameter, momentum, gradient in zip(expected, momenta, gradients(step), strict=True):
            momentum.copy_(0.95 * momentum + 0.05 * gradient)
            u, s, v = torch.linalg.svd((0.05 * gradient + 0.95 * momentum).flatten(1), full_matrices=False)
            s = s / s.norm()
            for a, b, c in COEFFICIENTS:
                s = a * s + b * s**3 + c * s**5
            size = LEARNING_RATE * 0.2 * math.sqrt(max(len(u), v.shape[1]))
            change = size * (u * s @ v).reshape(parameter.shape)
            parameter.data = parameter.data * (1 - LEARNING_RATE * WEIGHT_DECAY) - change
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


def test_a_step_matches_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    """With PyTorch's coefficients; it iterates in bfloat16, so compare three digits, on kernels as matrices."""
    monkeypatch.setattr("speakerid.training.optimizers.COEFFICIENTS", [(3.4445, -4.7750, 2.0315)] * 5)
    found, expected = parameters(torch.float32), [nn.Parameter(p.data.flatten(1)) for p in parameters(torch.float32)]
    moved(found, muon(found))
    moved(expected, torch.optim.Muon(expected, LEARNING_RATE, WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw"))
    for a, b, start in zip(found, expected, parameters(torch.float32), strict=True):
        assert (a - start).abs().max() > 0.5 * LEARNING_RATE
        torch.testing.assert_close(a.flatten(1), b, rtol=0, atol=0.05 * LEARNING_RATE)


def test_each_polynomial_is_the_best_for_what_the_one_before_leaves() -> None:
    """No odd polynomial of degree 5 stays closer to 1 on the interval; found by linear programming."""
    low, high = 0.01, 1.0
    for coefficients in COEFFICIENTS:
        x = np.linspace(low, high, 2000)
        powers = np.stack([x, x**3, x**5], 1)
        distance = np.abs(powers @ coefficients - 1).max()
        ones, zeros = np.ones((len(x), 1)), [0.0, 0.0, 0.0]
        bounds = np.block([[powers, -ones], [-powers, -ones]]), np.concatenate([ones, -ones])
        best = linprog([*zeros, 1.0], *bounds, bounds=[(None, None)] * 3 + [(0, None)])
        assert best.fun is not None
        assert distance < best.fun + 1e-3
        low, high = 1 - distance, 1 + distance


@given(st.integers(1, 12), st.integers(0, 12), st.floats(-6, 6), st.integers(0, 99))
def test_singular_values_come_near_1(rows: int, more: int, size: float, seed: int) -> None:
    """For any matrix whose singular values do not differ too much, at any scale."""
    generator = torch.Generator().manual_seed(seed)
    shape = (rows, rows + more)
    u, _, v = torch.linalg.svd(torch.randn(shape, generator=generator, dtype=torch.float64), full_matrices=False)
    s = 0.1 + torch.rand(rows, generator=generator, dtype=torch.float64)
    found = orthogonalized((10**size * (u * s @ v))[None])[0]
    values = torch.linalg.svdvals(found)
    assert 0.7 < values.min() <= values.max() < 1.3
    torch.testing.assert_close(u.mT @ found @ v.mT, torch.diag((u.mT @ found @ v.mT).diag()), rtol=0, atol=1e-8)


def test_zeros_stay_zeros() -> None:
    zeros = torch.zeros(2, 3, 4)
    assert torch.equal(orthogonalized(zeros), zeros)


def model() -> SpeakerClassifier:
    encoder = {"kind": "conformer", "num_layers": 1, "nhead": 2, "dim_feedforward": 16, "kernel_size": 3}
    return SpeakerClassifier(parse(ModelConfig, {"d_model": 8, "encoder": encoder}, "test"), 5, 4)


def test_muon_trains_decaying_weights_before_the_classifier() -> None:
    built = model()
    names = {id(parameter): name for name, parameter in built.named_parameters()}
    settings = parse(TrainConfig, {"optimizer": "muon", "weight_decay": 0.3}, "test")
    groups = [group for optimizer in optimizers(built, settings) for group in optimizer.param_groups]
    assert [group["weight_decay"] for group in groups] == [0.3, 0.3, 0]
    inner, classifier, rest = ({names[id(p)] for p in group["params"]} for group in groups)
    assert {"prenet.weight", "encoder.stack.layers.0.convolution.depthwise.weight"} <= inner
    assert classifier == {"classifier.1.weight"}
    assert {"prenet.bias", "encoder.stack.layers.0.attention.content_bias", "classifier.1.bias"} <= rest
    assert inner | classifier | rest == set(names.values())
