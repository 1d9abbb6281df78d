"""The Branchformer blocks against their papers' arithmetic, written out from the block's own parameters.

Shapes: T frames, D width.
"""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from speakerid.nn.branchformer import (
    Branches,
    BranchformerBlock,
    BranchformerEncoder,
    EBranchformerBlock,
    EBranchformerEncoder,
    GatingMLP,
)
from speakerid.nn.layers import frame_mask
from written_out import attention, depthwise, feed_forward, linear, norm, randomize

WIDTH, INNER, GATING = 8, 20, 12
LENGTHS = [12, 7, 1]


def gelu(x: Tensor) -> Tensor:
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


def gating(module: GatingMLP, x: Tensor) -> Tensor:
    inner = gelu(linear(module.expand, x))
    value, gate = inner[:, : GATING // 2], inner[:, GATING // 2 :]
    return linear(module.project, value * depthwise(module.depthwise, norm(module.norm, gate)))


def both(branches: Branches, x: Tensor) -> Tensor:
    """(T, D) to (T, 2·D)."""
    attended = attention(branches.attention, norm(branches.attention_norm, x))
    return torch.cat([attended, gating(branches.gating, norm(branches.gating_norm, x))], -1)


def written_out(block: nn.Module, x: Tensor) -> Tensor:
    """(T, D) to (T, D)."""
    if isinstance(block, BranchformerBlock):
        return norm(block.final_norm, x + linear(block.merge, both(block.branches, x)))
    assert isinstance(block, EBranchformerBlock)
    x = x + feed_forward(block.first_feed_forward, norm(block.first_norm, x)) / 2
    branches = both(block.branches, x)
    x = x + linear(block.merge, branches + depthwise(block.merge_depthwise, branches))
    x = x + feed_forward(block.second_feed_forward, norm(block.second_norm, x)) / 2
    return norm(block.final_norm, x)


@pytest.mark.parametrize("padded", [True, False], ids=["padded", "unpadded"])
@pytest.mark.parametrize("positions", ["relative", "rotary", "none"])
@pytest.mark.parametrize("nhead", [1, 2])
@pytest.mark.parametrize("kind", [BranchformerBlock, EBranchformerBlock])
def test_block_matches_the_paper(kind: Any, nhead: int, positions: Any, padded: bool) -> None:
    own = {} if kind is BranchformerBlock else {"dim_feedforward": INNER, "merge_kernel_size": 3}
    block = kind(WIDTH, nhead, dim_gating=GATING, kernel_size=5, dropout=0.0, positions=positions, **own)
    randomize(block)
    lengths = LENGTHS if padded else [max(LENGTHS)] * 2
    mask = frame_mask(torch.tensor(lengths), max(lengths))
    x = torch.randn(*mask.shape, WIDTH, dtype=torch.float64).masked_fill(~mask[..., None], 1e4)
    found = block(x, mask if padded else None)
    for row, length in enumerate(lengths):
        expected = written_out(block, x[row, :length])
        torch.testing.assert_close(found[row, :length], expected, rtol=0, atol=1e-5)  # the sinusoids are in float32


@pytest.mark.parametrize("concat_layers", [True, False], ids=["concatenated", "last"])
@pytest.mark.parametrize("share_layers", [True, False], ids=["shared", "independent"])
@pytest.mark.parametrize("kind", [BranchformerEncoder, EBranchformerEncoder])
def test_encoder_applies_its_blocks_in_turn(kind: Any, share_layers: bool, concat_layers: bool) -> None:
    own = {} if kind is BranchformerEncoder else {"dim_feedforward": INNER, "merge_kernel_size": 3}
    stack = {"num_layers": 3, "share_layers": share_layers, "concat_layers": concat_layers}
    encoder: Any = kind(WIDTH, 2, dim_gating=GATING, kernel_size=5, dropout=0.0, **own, **stack)
    randomize(encoder)
    outputs = [torch.randn(12, WIDTH, dtype=torch.float64)]
    for block in list(encoder.layers) * (3 if share_layers else 1):
        outputs.append(written_out(block, outputs[-1]))
    expected = norm(encoder.norm, torch.cat(outputs[1:], -1)) if concat_layers else outputs[-1]
    torch.testing.assert_close(encoder(outputs[0][None])[0], expected, rtol=0, atol=1e-4)


def test_the_gate_starts_near_one() -> None:
    module = GatingMLP(WIDTH, GATING, kernel_size=31, dropout=0.0)
    x = torch.randn(50, WIDTH)
    ungated = linear(module.project, gelu(linear(module.expand, x))[:, : GATING // 2])
    torch.testing.assert_close(module(x[None])[0], ungated, rtol=0, atol=0.02)


def test_dropout_is_on_both_branches_and_after_the_merge() -> None:
    p = 0.8
    block = BranchformerBlock(WIDTH, 2, GATING, kernel_size=5, dropout=p)
    x = torch.randn(50, 50, WIDTH)
    branches = block.branches(x)
    assert (branches == 0).double().mean().item() == pytest.approx(p, abs=0.02)
    block.final_norm = nn.Identity()  # pyright: ignore[reportAttributeAccessIssue]
    assert (block(x) == x).double().mean().item() == pytest.approx(p, abs=0.02)
