"""The Conformer block against its paper's arithmetic, written out from the block's own parameters."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from speakerid.nn.attention import RelativePositionAttention
from speakerid.nn.conformer import ConformerBlock, ConformerEncoder, ConvolutionModule
from speakerid.nn.layers import frame_mask
from written_out import attention, depthwise, feed_forward, linear, norm, randomize, swish

WIDTH, INNER, KERNEL = 8, 20, 5
LENGTHS = [12, 7, 1]


def convolution(module: ConvolutionModule, x: Tensor) -> Tensor:
    x = linear(module.expand, x)
    if isinstance(module.gate, nn.GLU):
        value, gate = x.chunk(2, -1)
        x = value * gate.sigmoid()
    else:
        x = swish(x)
    x = depthwise(module.depthwise, x)
    mean, variance = module.norm.running_mean, module.norm.running_var
    assert mean is not None
    assert variance is not None
    x = (x - mean) / (variance + 1e-5).sqrt() * module.norm.weight + module.norm.bias
    return linear(module.project, swish(x))


def written_out(block: ConformerBlock, x: Tensor) -> dict[str, Tensor]:
    """Input of each norm, and the output, for the (T, D) frames of one utterance."""
    steps, step = {}, 1.0
    if block.macaron:
        steps["first_norm"], step = x, 0.5
        x = x + step * feed_forward(block.first_feed_forward, norm(block.first_norm, x))
    steps["attention_norm"] = x
    steps["convolution_norm"] = x = x + attention(block.attention, norm(block.attention_norm, x))
    steps["second_norm"] = x = x + convolution(block.convolution, norm(block.convolution_norm, x))
    steps["final_norm"] = x = x + feed_forward(block.second_feed_forward, norm(block.second_norm, x)) * step
    return steps | {"output": norm(block.final_norm, x)}


def observed(block: ConformerBlock, x: Tensor, mask: Tensor | None) -> dict[str, Tensor]:
    """The same for a (B, T, D) batch, from the block itself."""
    steps: dict[str, Tensor] = {}

    def note(name: str, layer: nn.Module) -> None:
        layer.register_forward_pre_hook(lambda _, inputs: steps.update({name: inputs[0]}))

    for name, layer in block.named_children():
        if name.endswith("_norm"):
            note(name, layer)
    output = block(x, mask)
    return steps | {"output": output}


@pytest.mark.parametrize("padded", [True, False], ids=["padded", "unpadded"])
@pytest.mark.parametrize("nhead", [1, 2])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"conv_channels": 6},
        {"glu": False},
        {"glu": False, "conv_channels": 6},
        {"macaron": False},
        {"positions": "rotary"},
        {"positions": "none", "macaron": False},
    ],
    ids=str,
)
def test_block_matches_the_paper(settings: dict[str, Any], nhead: int, padded: bool) -> None:
    block = ConformerBlock(WIDTH, nhead, INNER, KERNEL, dropout=0.0, **settings).eval()
    randomize(block)
    lengths = LENGTHS if padded else [max(LENGTHS)] * 2
    mask = frame_mask(torch.tensor(lengths), max(lengths))
    x = torch.randn(*mask.shape, WIDTH, dtype=torch.float64).masked_fill(~mask[..., None], 1e4)
    found = observed(block, x, mask if padded else None)
    for row, length in enumerate(lengths):
        expected = written_out(block, x[row, :length])
        assert found.keys() == expected.keys()
        for step in expected:
            torch.testing.assert_close(
                found[step][row, :length],
                expected[step],
                rtol=0,
                atol=1e-5,  # the sinusoids are in float32
                msg=lambda text, step=step: f"at {step}: {text}",
            )


def test_the_default_block_is_that_of_the_paper() -> None:
    block = ConformerBlock(WIDTH, 2, INNER)
    assert isinstance(block.attention, RelativePositionAttention)
    assert isinstance(block.convolution.gate, nn.GLU)
    assert block.convolution.depthwise.kernel_size == (31,)
    assert block.macaron


@pytest.mark.parametrize("share_layers", [True, False], ids=["shared", "independent"])
def test_encoder_applies_its_blocks_in_turn(share_layers: bool) -> None:
    encoder = ConformerEncoder(
        WIDTH, 2, INNER, num_layers=3, kernel_size=KERNEL, dropout=0.0, share_layers=share_layers
    ).eval()
    randomize(encoder)
    blocks = [block for block in encoder.layers if isinstance(block, ConformerBlock)]
    expected = x = torch.randn(12, WIDTH, dtype=torch.float64)
    for block in blocks * 3 if share_layers else blocks:
        expected = written_out(block, expected)["output"]
    torch.testing.assert_close(encoder(x[None])[0], expected, rtol=0, atol=1e-4)


def test_dropout_is_on_all_four_branches() -> None:
    p = 0.8
    block = ConformerBlock(WIDTH, 2, INNER, KERNEL, dropout=p)
    block.final_norm = nn.Identity()  # pyright: ignore[reportAttributeAccessIssue]
    x = torch.randn(50, 50, WIDTH)
    untouched = (block(x) == x).double().mean().item()
    assert untouched == pytest.approx(p**4, abs=0.02)


@pytest.mark.parametrize("share_layers", [True, False], ids=["shared", "independent"])
def test_concatenated_outputs_of_all_blocks_are_normalized_together(share_layers: bool) -> None:
    encoder = ConformerEncoder(
        WIDTH, 2, INNER, num_layers=3, kernel_size=KERNEL, share_layers=share_layers, concat_layers=True
    ).eval()
    randomize(encoder)
    blocks = [block for block in encoder.layers if isinstance(block, ConformerBlock)]
    outputs = [torch.randn(12, WIDTH, dtype=torch.float64)]
    for block in blocks * 3 if share_layers else blocks:
        outputs.append(written_out(block, outputs[-1])["output"])
    assert isinstance(encoder.norm, nn.LayerNorm)
    expected = norm(encoder.norm, torch.cat(outputs[1:], -1))
    torch.testing.assert_close(encoder(outputs[0][None])[0], expected, rtol=0, atol=1e-4)
