"""Our Transformer against PyTorch's, with the same weights, in float64.

Shapes: B batch, T frames, D width.
"""

import pytest
import torch
from torch import Tensor, nn

from speakerid.nn.layers import frame_mask
from speakerid.nn.transformer import TransformerEncoder, TransformerEncoderLayer
from written_out import attention, linear, norm, randomize

WIDTH, INNER = 8, 20
LENGTHS = torch.tensor([9, 5, 1])

each_nhead = pytest.mark.parametrize("nhead", [1, 4])
each_norm_place = pytest.mark.parametrize("norm_first", [True, False], ids=["pre-norm", "post-norm"])
each_bias = pytest.mark.parametrize("qkv_bias", [True, False], ids=["qkv_bias", "no_qkv_bias"])
each_masking = pytest.mark.parametrize("mask", [frame_mask(LENGTHS, 9), None], ids=["padded", "unpadded"])


def torchs(ours: TransformerEncoderLayer) -> nn.TransformerEncoderLayer:
    """PyTorch's layer with our weights."""
    theirs = nn.TransformerEncoderLayer(
        WIDTH, ours.attention.nhead, INNER, dropout=0.0, batch_first=True, norm_first=ours.norm_first
    ).double()
    theirs.load_state_dict(in_torchs_names({name: p.detach() for name, p in ours.named_parameters()}))
    return theirs


def in_torchs_names(ours: dict[str, Tensor]) -> dict[str, Tensor]:
    names = {
        "self_attn.out_proj": "attention.output",
        "linear1": "feed_forward.expand",
        "linear2": "feed_forward.project",
        "norm1": "attention_norm",
        "norm2": "feed_forward_norm",
    }
    theirs = {f"{new}.{kind}": ours[f"{old}.{kind}"] for new, old in names.items() for kind in ("weight", "bias")}
    projections = [f"attention.{name}" for name in ("query", "key", "value")]
    theirs["self_attn.in_proj_weight"] = torch.cat([ours[f"{name}.weight"] for name in projections])
    no_bias = torch.zeros(WIDTH, dtype=torch.float64)
    theirs["self_attn.in_proj_bias"] = torch.cat([ours.get(f"{name}.bias", no_bias) for name in projections])
    return theirs


@each_nhead
@each_norm_place
@each_bias
@each_masking
def test_layer_matches_torch(nhead: int, norm_first: bool, qkv_bias: bool, mask: Tensor | None) -> None:
    ours = TransformerEncoderLayer(WIDTH, nhead, INNER, dropout=0.0, qkv_bias=qkv_bias, norm_first=norm_first)
    randomize(ours)
    theirs = torchs(ours)
    x = torch.randn(3, 9, WIDTH, dtype=torch.float64)
    real = torch.ones(3, 9, dtype=torch.bool) if mask is None else mask
    out, expected = ours(x, mask)[real], theirs(x, src_key_padding_mask=~real)[real]
    torch.testing.assert_close(out, expected)

    weighting = torch.randn_like(out)
    (out * weighting).sum().backward()
    (expected * weighting).sum().backward()
    gradients = in_torchs_names({name: p.grad for name, p in ours.named_parameters() if p.grad is not None})
    for name, parameter in theirs.named_parameters():
        if qkv_bias or name != "self_attn.in_proj_bias":
            torch.testing.assert_close(gradients[name], parameter.grad)


@each_norm_place
@each_masking
def test_layer_matches_torch_in_float32(norm_first: bool, mask: Tensor | None) -> None:
    ours = TransformerEncoderLayer(WIDTH, 2, INNER, dropout=0.0, norm_first=norm_first)
    theirs = torchs(ours).float()
    x = torch.randn(3, 9, WIDTH)
    real = torch.ones(3, 9, dtype=torch.bool) if mask is None else mask
    expected = theirs(x, src_key_padding_mask=~real)
    torch.testing.assert_close(ours(x, mask)[real], expected[real], rtol=0, atol=2e-6)


@each_norm_place
@pytest.mark.parametrize("share_layers", [True, False], ids=["shared", "independent"])
def test_encoder_matches_a_stack_of_torch_layers(norm_first: bool, share_layers: bool) -> None:
    ours = TransformerEncoder(
        WIDTH, 2, INNER, num_layers=3, dropout=0.0, norm_first=norm_first, share_layers=share_layers
    )
    randomize(ours)
    layers = [torchs(layer) for layer in ours.layers if isinstance(layer, TransformerEncoderLayer)]
    mask = frame_mask(LENGTHS, 9)
    expected = x = torch.randn(3, 9, WIDTH, dtype=torch.float64)
    for layer in layers * 3 if share_layers else layers:
        expected = layer(expected, src_key_padding_mask=~mask)
    if norm_first:
        assert isinstance(ours.norm, nn.LayerNorm)
        expected = nn.functional.layer_norm(expected, (WIDTH,), ours.norm.weight, ours.norm.bias)
    torch.testing.assert_close(ours(x, mask)[mask], expected[mask])


@each_norm_place
def test_concatenated_outputs_of_all_layers_are_normalized_once(norm_first: bool) -> None:
    ours = TransformerEncoder(WIDTH, 2, INNER, num_layers=3, dropout=0.0, norm_first=norm_first, concat_layers=True)
    randomize(ours)
    mask = frame_mask(LENGTHS, 9)
    outputs = [torch.randn(3, 9, WIDTH, dtype=torch.float64)]
    for layer in ours.layers:
        assert isinstance(layer, TransformerEncoderLayer)
        outputs.append(torchs(layer)(outputs[-1], src_key_padding_mask=~mask))
    assert isinstance(ours.norm, nn.LayerNorm)
    expected = norm(ours.norm, torch.cat(outputs[1:], -1))
    torch.testing.assert_close(ours(outputs[0], mask)[mask], expected[mask])


def test_rotary_positions_rotate_queries_and_keys() -> None:
    layer = TransformerEncoderLayer(WIDTH, 2, INNER, dropout=0.0, norm_first=True, positions="rotary")
    randomize(layer)
    x = torch.randn(9, WIDTH, dtype=torch.float64)
    attended = x + attention(layer.attention, norm(layer.attention_norm, x))
    network = layer.feed_forward
    expected = attended + linear(
        network.project, linear(network.expand, norm(layer.feed_forward_norm, attended)).relu()
    )
    torch.testing.assert_close(layer(x[None])[0], expected)


@each_norm_place
def test_dropout_is_on_both_branches(norm_first: bool) -> None:
    p = 0.8
    layer = TransformerEncoderLayer(WIDTH, 2, INNER, dropout=p, norm_first=norm_first)
    layer.attention_norm = layer.feed_forward_norm = nn.Identity()  # pyright: ignore[reportAttributeAccessIssue]
    x = torch.randn(50, 50, WIDTH)
    untouched = (layer(x) == x).double().mean().item()
    assert untouched == pytest.approx(p**2, abs=0.02)


def test_dropout_is_inside_the_feed_forward_network() -> None:
    network = TransformerEncoderLayer(WIDTH, 2, 1, dropout=0.5).feed_forward
    nn.init.zeros_(network.project.bias)
    nn.init.ones_(network.expand.bias)
    out = network(torch.zeros(4000, WIDTH))
    lost_inside = (out == 0).all(1).double().mean().item()  # half the frames lose their one inner unit
    assert lost_inside == pytest.approx(0.5, abs=0.05)
