"""Rotary positions against complex numbers.

Shapes: B batch, T frames, D width, H heads, E = D / H.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speakerid.nn.attention import MultiHeadAttention, rotate
from speakerid.nn.layers import frame_mask
from written_out import attention, randomize, rotated


@pytest.mark.parametrize("width", [2, 4, 10])
@pytest.mark.parametrize("frames", [1, 7])
def test_a_pair_of_channels_is_a_rotating_complex_number(frames: int, width: int) -> None:
    x = torch.randn(2, 3, frames, width, dtype=torch.float64)  # (B, H, T, E)
    for utterance, found in zip(x, rotate(x), strict=True):
        torch.testing.assert_close(found, rotated(utterance.transpose(0, 1)).transpose(0, 1))


@settings(deadline=None, max_examples=30)
@given(first=st.integers(0, 3000), distance=st.integers(0, 200), later=st.integers(0, 3000))
def test_a_score_depends_only_on_the_distance(first: int, distance: int, later: int) -> None:
    q, k = torch.randn(2, 8, dtype=torch.float64)

    def score(query: int, key: int) -> torch.Tensor:
        frames = max(query, key) + 1
        return rotate(q.expand(frames, 8))[query] @ rotate(k.expand(frames, 8))[key]

    torch.testing.assert_close(score(first, first + distance), score(first + later, first + later + distance))


def test_distances_differ() -> None:
    x = rotate(torch.ones(50, 8, dtype=torch.float64))
    scores = x @ x[0]
    assert len(scores.round(decimals=6).unique()) == 50


def test_lengths_stay_and_the_first_frame_too() -> None:
    x = torch.randn(20, 8)
    torch.testing.assert_close(rotate(x).norm(dim=-1), x.norm(dim=-1))
    assert torch.equal(rotate(x)[0], x[0])


def test_bfloat16_rotates_as_far_as_float32() -> None:
    x = torch.ones(5000, 2)
    turned_far = rotate(x.bfloat16())
    assert turned_far.dtype == torch.bfloat16
    torch.testing.assert_close(turned_far.float(), rotate(x), rtol=0, atol=0.01)


@pytest.mark.parametrize("nhead", [1, 2])
def test_attention_rotates_queries_and_keys(nhead: int) -> None:
    module = MultiHeadAttention(8, nhead, dropout=0.0, rotary=True)
    randomize(module)
    lengths = [7, 4, 1]
    mask = frame_mask(torch.tensor(lengths), 7)
    x = torch.randn(3, 7, 8, dtype=torch.float64).masked_fill(~mask[..., None], 1e4)
    out = module(x, mask)
    for row, length in enumerate(lengths):
        torch.testing.assert_close(out[row, :length], attention(module, x[row, :length]))
