"""Pooling against a loop over the frames of one utterance.

Shapes: B batch, T frames, D width.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from speakerid.nn.layers import frame_mask
from speakerid.nn.pooling import (
    VARIANCE_FLOOR,
    AttentiveStatisticsPooling,
    FrameWeights,
    MeanPooling,
    SelfAttentivePooling,
    StatisticsPooling,
)

WIDTH = 6

POOLINGS: dict[str, nn.Module] = {
    "mean": MeanPooling(),
    "statistics": StatisticsPooling(),
    "self-attentive": SelfAttentivePooling(WIDTH, 1, 5),
    "self-attentive, two heads": SelfAttentivePooling(WIDTH, 2, 5),
    "attentive statistics": AttentiveStatisticsPooling(WIDTH, 1, 5),
    "attentive statistics, two heads": AttentiveStatisticsPooling(WIDTH, 2, 5),
    "attentive statistics, a head a channel": AttentiveStatisticsPooling(WIDTH, WIDTH, 5),
}
each_pooling = pytest.mark.parametrize("pooling", POOLINGS.values(), ids=POOLINGS.keys())


def frame_weights(module: FrameWeights, x: Tensor, head: int) -> list[float]:
    """Weights of the (T, D) frames of one utterance."""
    exponentials = []
    for frame in x:
        inner = torch.tanh(module.expand.weight @ frame + module.expand.bias)
        exponentials.append(math.exp((module.score.weight[head] @ inner).item()))
    return [e / sum(exponentials) for e in exponentials]


def weighted_mean(x: Tensor, weights: list[float]) -> Tensor:
    return sum((w * frame for w, frame in zip(weights, x, strict=True)), torch.zeros(x.shape[1]))


def deviation(x: Tensor, weights: list[float]) -> Tensor:
    variance = weighted_mean((x - weighted_mean(x, weights)) ** 2, weights)
    return torch.tensor([math.sqrt(max(v, VARIANCE_FLOOR)) for v in variance.tolist()])


def written_out(pooling: nn.Module, x: Tensor) -> Tensor:
    """Pool the (T, D) frames of one utterance."""
    alike = [1 / len(x)] * len(x)
    match pooling:
        case MeanPooling():
            return weighted_mean(x, alike)
        case StatisticsPooling():
            return torch.cat([weighted_mean(x, alike), deviation(x, alike)])
        case SelfAttentivePooling(weights=weights):
            heads = range(weights.score.out_features)
            return torch.cat([weighted_mean(x, frame_weights(weights, x, head)) for head in heads])
        case AttentiveStatisticsPooling(weights=weights):
            groups = list(enumerate(x.chunk(weights.score.out_features, 1)))
            means = [weighted_mean(group, frame_weights(weights, x, head)) for head, group in groups]
            deviations = [deviation(group, frame_weights(weights, x, head)) for head, group in groups]
            return torch.cat([*means, *deviations])
    raise AssertionError(pooling)


@each_pooling
@settings(deadline=None, max_examples=10)
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4), spare=st.integers(0, 2))
def test_pooling_is_the_loop_over_the_real_frames(pooling: nn.Module, lengths: list[int], spare: int) -> None:
    torch.manual_seed(0)
    frames = max(lengths) + spare
    mask = frame_mask(torch.tensor(lengths), frames)
    x = torch.randn(len(lengths), frames, WIDTH).masked_fill(~mask[..., None], 1e30)
    with torch.no_grad():
        expected = [written_out(pooling, utterance[:length]) for utterance, length in zip(x, lengths, strict=True)]
        torch.testing.assert_close(pooling(x, mask), torch.stack(expected), rtol=1e-5, atol=1e-5)


@each_pooling
def test_no_mask_means_that_every_frame_is_real(pooling: nn.Module) -> None:
    x = torch.randn(2, 4, WIDTH)
    torch.testing.assert_close(pooling(x), pooling(x, torch.ones(2, 4, dtype=torch.bool)))


@each_pooling
def test_a_constant_utterance_has_finite_gradients(pooling: nn.Module) -> None:
    x = torch.full((2, 5, WIDTH), 3.7, requires_grad=True)
    out = pooling(x, frame_mask(torch.tensor([5, 1]), 5))
    out.square().sum().backward()
    assert out.isfinite().all()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@each_pooling
def test_padding_gets_no_gradient(pooling: nn.Module) -> None:
    x = torch.randn(2, 5, WIDTH, requires_grad=True)
    pooling(x, frame_mask(torch.tensor([5, 2]), 5)).square().sum().backward()
    assert x.grad is not None
    assert (x.grad[1, 2:] == 0).all()
    assert (x.grad[1, :2] != 0).any()


def test_a_large_mean_does_not_cost_precision() -> None:
    x = torch.randn(1, 50, WIDTH)
    torch.testing.assert_close(
        StatisticsPooling()(x + 1000)[:, WIDTH:], StatisticsPooling()(x)[:, WIDTH:], rtol=1e-3, atol=0
    )
