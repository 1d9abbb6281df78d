"""Attention against the formulas of its papers, written out one score at a time in float64.

Shapes: B batch, T frames, D width, E = width of one head.
"""

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import speakerid.nn.attention
from speakerid.nn.attention import (
    MultiHeadAttention,
    RelativePositionAttention,
    attend,
    relative_positions,
    relative_shift,
)
from speakerid.nn.dropout import Dropout
from speakerid.nn.layers import frame_mask

Score = Callable[[int, int, int], Tensor]
"""Function of a head, a query's index and a key's index."""

WIDTH = 8
LENGTHS = [7, 4, 1]

each_attention = pytest.mark.parametrize("attention_class", [MultiHeadAttention, RelativePositionAttention])
each_nhead = pytest.mark.parametrize("nhead", [1, 2, 4])


def randomize(attention: nn.Module) -> None:
    """Randomize all parameters, since a missing bias would go unnoticed if biases were zero."""
    attention.double()
    for parameter in attention.parameters():
        nn.init.normal_(parameter)


def padded_batch() -> tuple[Tensor, Tensor]:
    """(B, T, D) features with garbage in the padding, and their (B, T) mask."""
    mask = frame_mask(torch.tensor(LENGTHS), max(LENGTHS))
    x = torch.randn(*mask.shape, WIDTH, dtype=torch.float64)
    return x.masked_fill(~mask[..., None], 1e4), mask


def sinusoid(distance: int, width: int) -> list[float]:
    angles = [distance / 10_000 ** (2 * (index // 2) / width) for index in range(width)]
    return [math.cos(angle) if index % 2 else math.sin(angle) for index, angle in enumerate(angles)]


def content_score(attention: MultiHeadAttention, x: Tensor) -> Score:
    q, k = (project(x).chunk(attention.nhead, -1) for project in (attention.query, attention.key))
    return lambda h, i, j: q[h][i] @ k[h][j] / math.sqrt(WIDTH // attention.nhead)


def content_and_distance_score(attention: RelativePositionAttention, x: Tensor) -> Score:
    q, k = (project(x).chunk(attention.nhead, -1) for project in (attention.query, attention.key))
    u, v = attention.content_bias, attention.position_bias
    sinusoids = {d: torch.tensor(sinusoid(d, WIDTH), dtype=x.dtype) for d in range(1 - len(x), len(x))}
    p = {d: attention.position(sinusoids[d]).chunk(attention.nhead) for d in sinusoids}
    return lambda h, i, j: (
        ((q[h][i] + u[h]) @ k[h][j] + (q[h][i] + v[h]) @ p[i - j][h]) / math.sqrt(WIDTH // attention.nhead)
    )


def written_out(attention: MultiHeadAttention | RelativePositionAttention, x: Tensor, score: Score) -> Tensor:
    """(T, D) to (T, D), with the softmax written out."""
    indices, heads = range(len(x)), []
    for head, value in enumerate(attention.value(x).chunk(attention.nhead, -1)):
        exponentials = [[score(head, i, j).exp() for j in indices] for i in indices]
        weighted = [sum(e * value[j] for j, e in enumerate(row)) / sum(row) for row in exponentials]
        heads.append(torch.stack([torch.as_tensor(row) for row in weighted]))
    return attention.output(torch.cat(heads, -1))


@each_nhead
@pytest.mark.parametrize("qkv_bias", [True, False], ids=["qkv_bias", "no_qkv_bias"])
def test_multi_head_attention_is_the_written_out_softmax(nhead: int, qkv_bias: bool) -> None:
    attention = MultiHeadAttention(WIDTH, nhead, dropout=0.0, qkv_bias=qkv_bias)
    randomize(attention)
    x, mask = padded_batch()
    out = attention(x, mask)
    for row, length in enumerate(LENGTHS):
        real = x[row, :length]
        torch.testing.assert_close(out[row, :length], written_out(attention, real, content_score(attention, real)))


@each_nhead
def test_relative_position_attention_is_the_written_out_double_loop(nhead: int) -> None:
    attention = RelativePositionAttention(WIDTH, nhead, dropout=0.0)
    randomize(attention)
    x, mask = padded_batch()
    out = attention(x, mask)
    for row, length in enumerate(LENGTHS):
        real = x[row, :length]
        expected = written_out(attention, real, content_and_distance_score(attention, real))
        torch.testing.assert_close(out[row, :length], expected, rtol=0, atol=1e-5)  # the sinusoids are in float32


@each_attention
def test_no_mask_means_that_every_frame_is_real(
    attention_class: type[MultiHeadAttention | RelativePositionAttention],
) -> None:
    attention = attention_class(WIDTH, 2, dropout=0.0)
    x = torch.randn(2, 5, WIDTH)
    torch.testing.assert_close(attention(x), attention(x, torch.ones(2, 5, dtype=torch.bool)))


@each_attention
def test_dropout_is_on_the_attention_weights_in_training(
    attention_class: type[MultiHeadAttention | RelativePositionAttention],
) -> None:
    attention = attention_class(WIDTH, 1, dropout=0.5)
    x = torch.randn(64, 1, WIDTH)  # a single frame has the weight 1, which dropout makes 0 or 2
    attended = attention.eval()(x) - attention.output.bias
    dropped = attention.train()(x) - attention.output.bias
    weights = (dropped / attended).mean((1, 2)).round(decimals=3)
    assert set(weights.tolist()) == {0.0, 2.0}


@pytest.mark.parametrize("masked", [True, False], ids=["masked", "unmasked"])
@pytest.mark.parametrize("chunk", [1, 2, 3, 6])
def test_attention_in_chunks_of_queries_changes_nothing(
    chunk: int, masked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    attention = RelativePositionAttention(WIDTH, 2, dropout=0.0)
    randomize(attention)
    x, mask = padded_batch()
    whole = attention(x, mask if masked else None)
    monkeypatch.setattr(speakerid.nn.attention, "QUERY_CHUNK", chunk)
    torch.testing.assert_close(attention(x, mask if masked else None), whole)


@settings(deadline=None, max_examples=50)
@given(data=st.data(), keys=st.integers(1, 9), batch=st.lists(st.integers(1, 3), max_size=2))
def test_relative_shift_is_the_double_loop(data: st.DataObject, keys: int, batch: list[int]) -> None:
    queries = data.draw(st.integers(1, keys), label="queries")
    distances = keys + queries - 1
    scores = torch.arange(math.prod(batch) * queries * distances).view(*batch, queries, distances)
    shifted = relative_shift(scores)
    assert shifted.shape == (*batch, queries, keys)
    for q in range(queries):
        for k in range(keys):
            assert torch.equal(shifted[..., q, k], scores[..., q, queries - 1 - q + k])


@pytest.mark.parametrize(("first", "last"), [(3, -3), (5, 2), (-1, -4), (0, 0)])
@pytest.mark.parametrize("width", [1, 6, 7])
def test_relative_positions_are_the_sinusoids_of_falling_distances(first: int, last: int, width: int) -> None:
    found = relative_positions(first, last, width, torch.device("cpu"), torch.float64)
    expected = [sinusoid(distance, width) for distance in range(first, last - 1, -1)]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-6)


@pytest.mark.parametrize("masking", ["none", "frames", "scores"])
@each_nhead
def test_attention_with_dropout_matches_torch_on_kept_weights(nhead: int, masking: str) -> None:
    mask = {
        "none": None,
        "frames": frame_mask(torch.tensor([5, 3]), 5)[:, None, None],
        "scores": torch.randn(2, nhead, 5, 5, dtype=torch.float64),
    }[masking]
    q, k, v = (torch.randn(2, nhead, 5, 3, dtype=torch.float64, requires_grad=True) for _ in range(3))
    kept = torch.tensor([[1.0, 0.0, 1.0, 1.0, 0.0]] * 5, dtype=torch.float64)

    class Kept(Dropout):
        def forward(self, input: Tensor) -> Tensor:
            return input * kept

    out = attend(q, k, v, mask, Kept(0.5))
    whole = F.scaled_dot_product_attention(q, k, torch.eye(5, dtype=torch.float64).expand(2, nhead, 5, 5), mask)
    expected = (whole * kept) @ v
    torch.testing.assert_close(out, expected)
    weighting = torch.randn_like(out)
    found, wanted = (torch.autograd.grad((x * weighting).sum(), [q, k, v]) for x in (out, expected))
    torch.testing.assert_close(found, wanted)


@each_attention
@each_nhead
@pytest.mark.parametrize("masked", [True, False], ids=["masked", "unmasked"])
def test_without_dropout_evaluation_equals_training(
    attention_class: type[MultiHeadAttention | RelativePositionAttention], nhead: int, masked: bool
) -> None:
    attention = attention_class(WIDTH, nhead, dropout=0.0)
    randomize(attention)
    x, mask = padded_batch()
    trained = attention.train()(x, mask if masked else None)
    torch.testing.assert_close(attention.eval()(x, mask if masked else None), trained)
