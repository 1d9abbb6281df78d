"""The convolution module against PyTorch's and torchaudio's.

Shapes: B batch, T frames, D width, C channels.
"""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from oracles import import_torchaudio
from speakerid.nn.conformer import ConvolutionModule
from speakerid.nn.depthwise import DepthwiseConv
from speakerid.nn.layers import frame_mask

WIDTH, CHANNELS = 6, 10


def gradients(module: nn.Module, x: Tensor, out: Tensor, weighting: Tensor) -> list[Tensor]:
    """Gradients of a weighted sum of the output with respect to the input and every parameter."""
    return list(torch.autograd.grad((out * weighting).sum(), [x, *module.parameters()]))


@pytest.mark.parametrize("kernel_size", [1, 3, 31])
@pytest.mark.parametrize("frames", [1, 2, 32, 40])
def test_depthwise_conv_matches_torch(kernel_size: int, frames: int) -> None:
    ours = DepthwiseConv(CHANNELS, kernel_size)
    theirs = nn.Conv1d(CHANNELS, CHANNELS, kernel_size, padding=kernel_size // 2, groups=CHANNELS)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(3, frames, CHANNELS, requires_grad=True)
    out, expected = ours(x), theirs(x.transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-5)
    with torch.no_grad():  # another kernel
        torch.testing.assert_close(ours(x), expected, rtol=0, atol=1e-5)
    weighting = torch.randn_like(out)
    torch.testing.assert_close(
        gradients(ours, x, out, weighting), gradients(theirs, x, expected, weighting), rtol=1e-5, atol=1e-5
    )


def torchaudios(ours: ConvolutionModule, kernel_size: int) -> Any:
    """torchaudio's module with our weights, without the LayerNorm, which is in our block."""
    theirs = (
        import_torchaudio("torchaudio.models.conformer")
        ._ConvolutionModule(WIDTH, CHANNELS, kernel_size, bias=True)
        .double()
    )
    theirs.layer_norm = nn.Identity()
    pointwise, _, depthwise, norm, _, project, _ = theirs.sequential
    for linear, convolution in ((ours.expand, pointwise), (ours.project, project)):
        convolution.load_state_dict({"weight": linear.weight[:, :, None], "bias": linear.bias})
    depthwise.load_state_dict(ours.depthwise.state_dict())
    norm.load_state_dict(ours.norm.state_dict())
    return theirs


@pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
@pytest.mark.parametrize("kernel_size", [1, 5, 31])
def test_convolution_module_matches_torchaudio(kernel_size: int, training: bool) -> None:
    ours = ConvolutionModule(WIDTH, kernel_size, CHANNELS, dropout=0.0).double().train(training)
    assert isinstance(ours.norm.running_mean, Tensor)
    assert isinstance(ours.norm.running_var, Tensor)
    ours.norm.running_mean.normal_()
    ours.norm.running_var.uniform_(0.5, 2.0)
    theirs = torchaudios(ours, kernel_size).train(training)
    x = torch.randn(3, 20, WIDTH, dtype=torch.float64, requires_grad=True)
    out, expected = ours(x), theirs(x)
    torch.testing.assert_close(out, expected)
    weighting = torch.randn_like(out)
    by_input, by_weight = gradients(ours, x, out, weighting)[:2]
    their_by_input, their_by_weight = gradients(theirs, x, expected, weighting)[:2]
    torch.testing.assert_close(by_input, their_by_input)
    torch.testing.assert_close(by_weight, their_by_weight.squeeze(-1))
    torch.testing.assert_close(dict(ours.norm.named_buffers()), dict(theirs.sequential[3].named_buffers()))


def test_without_gate_the_first_pointwise_convolution_is_not_halved() -> None:
    module = ConvolutionModule(WIDTH, 3, CHANNELS, dropout=0.0, glu=False)
    assert module.expand.out_features == CHANNELS
    assert module(torch.randn(2, 5, WIDTH)).shape == (2, 5, WIDTH)


@pytest.mark.parametrize("glu", [True, False], ids=["glu", "no_glu"])
def test_the_convolution_sees_zeros_in_the_padding(glu: bool) -> None:
    module = ConvolutionModule(WIDTH, 5, CHANNELS, dropout=0.0, glu=glu).eval()
    lengths = [8, 5, 1]
    mask = frame_mask(torch.tensor(lengths), 8)
    x = torch.randn(3, 8, WIDTH).masked_fill(~mask[..., None], 1e4)
    out = module(x, mask)
    for row, length in enumerate(lengths):
        torch.testing.assert_close(out[row, :length], module(x[row : row + 1, :length])[0])
