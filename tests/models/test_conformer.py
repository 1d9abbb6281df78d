"""The Conformer block against its paper's arithmetic, written out from the block's own parameters.

Letters: T frames, D width, H heads, E = D / H, C channels.
"""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speakerid.layers.attention import RelativePositionAttention
from speakerid.layers.convolution import ConvolutionModule
from speakerid.layers.feed_forward import FeedForward
from speakerid.layers.masks import frame_mask
from speakerid.models.conformer import ConformerBlock, ConformerEncoder

WIDTH, INNER, KERNEL = 8, 20, 5
LENGTHS = [12, 7, 1]


def randomise(module: nn.Module) -> None:
    """Norms that start as the identity and biases that start at zero would hide forgotten ones."""
    module.double()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    for name, buffer in module.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.5, 2.0)


def norm(layer: nn.LayerNorm, x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * layer.weight + layer.bias


def linear(layer: nn.Linear, x: Tensor) -> Tensor:
    return x @ layer.weight.T + (0 if layer.bias is None else layer.bias)


def swish(x: Tensor) -> Tensor:
    return x * x.sigmoid()


def feed_forward(module: FeedForward, x: Tensor) -> Tensor:
    return linear(module.project, swish(linear(module.expand, x)))


def attention(module: RelativePositionAttention, x: Tensor) -> Tensor:
    frames, nhead = len(x), module.nhead
    q, k, v = (linear(p, x).view(frames, nhead, -1) for p in (module.query, module.key, module.value))
    place = torch.arange(frames, dtype=torch.float64)
    distance = place[:, None] - place
    period = 10_000 ** (torch.arange(0, WIDTH, 2, dtype=torch.float64) / WIDTH)
    angle = distance[..., None] / period
    sinusoids = torch.stack([angle.sin(), angle.cos()], -1).flatten(-2)  # (T, T, D)
    p = linear(module.position, sinusoids).view(frames, frames, nhead, -1)
    content = torch.einsum("ihe,jhe->hij", q + module.content_bias, k)
    position = torch.einsum("ihe,ijhe->hij", q + module.position_bias, p)
    weights = ((content + position) / math.sqrt(WIDTH // nhead)).softmax(-1)
    return linear(module.output, torch.einsum("hij,jhe->ihe", weights, v).flatten(1))


def convolution(module: ConvolutionModule, x: Tensor) -> Tensor:
    x = linear(module.expand, x)
    if isinstance(module.gate, nn.GLU):
        value, gate = x.chunk(2, -1)
        x = value * gate.sigmoid()
    else:
        x = swish(x)
    padded = F.pad(x, (0, 0, KERNEL // 2, KERNEL // 2))
    windows = padded.unfold(0, KERNEL, 1)  # (T, C, kernel)
    bias = module.depthwise.bias
    assert bias is not None
    x = (windows * module.depthwise.weight[:, 0]).sum(-1) + bias
    mean, variance = module.norm.running_mean, module.norm.running_var
    assert mean is not None
    assert variance is not None
    x = (x - mean) / (variance + 1e-5).sqrt() * module.norm.weight + module.norm.bias
    return linear(module.project, swish(x))


def written_out(block: ConformerBlock, x: Tensor) -> dict[str, Tensor]:
    """What stands in front of each norm, and the output, for the (T, D) frames of one utterance."""
    steps = {"first_norm": x}
    steps["attention_norm"] = x = x + feed_forward(block.first_feed_forward, norm(block.first_norm, x)) / 2
    steps["convolution_norm"] = x = x + attention(block.attention, norm(block.attention_norm, x))
    steps["second_norm"] = x = x + convolution(block.convolution, norm(block.convolution_norm, x))
    steps["final_norm"] = x = x + feed_forward(block.second_feed_forward, norm(block.second_norm, x)) / 2
    return steps | {"output": norm(block.final_norm, x)}


def observed(block: ConformerBlock, x: Tensor, mask: Tensor | None) -> dict[str, Tensor]:
    """The same of a (B, T, D) batch, from the block itself."""
    steps: dict[str, Tensor] = {}

    def note(name: str, layer: nn.Module) -> None:
        layer.register_forward_pre_hook(lambda _, inputs: steps.update({name: inputs[0]}))

    for name, layer in block.named_children():
        if name.endswith("_norm"):
            note(name, layer)
    output = block(x, mask)
    return steps | {"output": output}


@pytest.mark.parametrize("padded", [True, False], ids=["padded", "unpadded"])
@pytest.mark.parametrize("glu", [True, False], ids=["glu", "no_glu"])
@pytest.mark.parametrize("conv_channels", [None, 6])
@pytest.mark.parametrize("nhead", [1, 2])
def test_block_is_the_papers_arithmetic(nhead: int, conv_channels: int | None, glu: bool, padded: bool) -> None:
    block = ConformerBlock(WIDTH, nhead, INNER, KERNEL, conv_channels, dropout=0.0, glu=glu).eval()
    randomise(block)
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
                atol=1e-5,  # the sinusoids are of float32
                msg=lambda text, step=step: f"at {step}: {text}",
            )


@pytest.mark.parametrize("share_layers", [True, False], ids=["shared", "independent"])
def test_encoder_applies_its_blocks_in_turn(share_layers: bool) -> None:
    encoder = ConformerEncoder(
        WIDTH, 2, INNER, num_layers=3, kernel_size=KERNEL, dropout=0.0, share_layers=share_layers
    ).eval()
    randomise(encoder)
    blocks = [block for block in encoder.stack.layers if isinstance(block, ConformerBlock)]
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
