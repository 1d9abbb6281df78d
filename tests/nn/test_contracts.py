"""Contracts of every model: every encoder with every pooling and every classifier.

Shapes: B batch, T frames, M mel bands, S speakers.
"""

from functools import cache
from itertools import cycle, product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from small_models import ENCODERS, POOLINGS
from speakerid.config.model import (
    AttentiveStatisticsConfig,
    MeanConfig,
    ModelConfig,
    SelfAttentiveConfig,
    StatisticsConfig,
)
from speakerid.nn.classifier import SpeakerClassifier
from speakerid.nn.layers import frame_mask
from speakerid.nn.summary import applied_parameters, unique_parameters

MELS, SPEAKERS = 5, 4

COSINE = {"kind": "cosine", "scale": 5}
"""With this scale the logits are about as large as those of the other classifiers, so that 1e-5 means the same."""
CLASSIFIERS: dict[str, Any] = {
    "mlp": "mlp",
    "batchnorm": "batchnorm",
    "linear": "linear",
    "cosine": COSINE,
    "normalised sub-centers": COSINE | {"sub_centers": 2, "batch_norm": True},
}
VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "": ({}, {}),
    "one head, ": ({"nhead": 1}, {}),
    "shared, ": ({"share_layers": True}, {}),
    "concatenated, ": ({"concat_layers": True, "layer_drop": 0.5}, {}),
    "shared and concatenated, ": ({"share_layers": True, "concat_layers": True}, {"embedding_dim": 6}),
    "subsampled, ": ({}, {"subsampling": 2}),
    "subsampled with embedding, ": ({"layer_drop": 0.5}, {"subsampling": 2, "embedding_dim": 6}),
    "widened, ": ({}, {"pooling_width": 12}),
    "concatenated and widened, ": ({"concat_layers": True}, {"pooling_width": 20}),
}
"""Settings of the encoder, and of the model."""


def a_config(encoder: str, pooling: str, classifier: str, variant: str = "") -> ModelConfig:
    """Two layers of width 8."""
    of_encoder, of_model = VARIANTS[variant]
    return ModelConfig.model_validate(
        {
            "d_model": 8,
            "encoder": {"num_layers": 2, "nhead": 2, "dropout": 0.2} | ENCODERS[encoder] | of_encoder,
            "pooling": POOLINGS[pooling],
            "classifier": CLASSIFIERS[classifier],
        }
        | of_model
    )


def every_combination() -> dict[str, ModelConfig]:
    """Every encoder with every pooling and every classifier."""
    return {", ".join(parts): a_config(*parts) for parts in product(ENCODERS, POOLINGS, CLASSIFIERS)}


def a_few() -> dict[str, ModelConfig]:
    """Every encoder in every variant, with poolings and classifiers in turn."""
    turns = cycle(product(POOLINGS, CLASSIFIERS))
    return {
        f"{variant}{encoder}, {pooling}, {classifier}": a_config(encoder, pooling, classifier, variant)
        for (encoder, variant), (pooling, classifier) in zip(product(ENCODERS, VARIANTS), turns, strict=False)
    }


CONFIGS, ALL = a_few(), every_combination()
each_model = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())


def a_model(config: ModelConfig) -> SpeakerClassifier:
    """A model in evaluation mode, with BatchNorm statistics that differ from the initial ones."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = SpeakerClassifier(config, MELS, SPEAKERS)
        model(log_mels(8, 20))
    return model.eval()


the_model = cache(a_model)
"""A shared model, for tests that do not change it."""


def log_mels(*shape: int) -> Tensor:
    """Features of a realistic magnitude."""
    return 4 * torch.randn(*shape, MELS) - 10


def padded(lengths: list[int], padding: float) -> tuple[Tensor, Tensor]:
    """(B, T, M) features and (B, T) mask."""
    mask = frame_mask(torch.tensor(lengths), max(lengths))
    return log_mels(*mask.shape).masked_fill(~mask[..., None], padding), mask


@each_model
@settings(deadline=None, max_examples=5)
@given(lengths=st.lists(st.integers(1, 30), min_size=2, max_size=3), padding=st.sampled_from([0.0, -20.0, 1e4]))
def test_padding_and_neighbors_are_invisible(config: ModelConfig, lengths: list[int], padding: float) -> None:
    torch.manual_seed(0)
    model = the_model(config)
    features, mask = padded(lengths, padding)
    alone = [model(utterance[None, :length]) for utterance, length in zip(features, lengths, strict=True)]
    torch.testing.assert_close(model(features, mask), torch.cat(alone), rtol=0, atol=1e-5)


@pytest.mark.parametrize("config", ALL.values(), ids=ALL.keys())
def test_padding_is_invisible_in_every_combination(config: ModelConfig) -> None:
    model, lengths = a_model(config), [11, 4, 1]
    features, mask = padded(lengths, padding=1e4)
    with torch.no_grad():
        alone = [model(utterance[None, :length]) for utterance, length in zip(features, lengths, strict=True)]
        torch.testing.assert_close(model(features, mask), torch.cat(alone), rtol=0, atol=1e-5)


@each_model
def test_the_order_of_the_utterances_does_not_matter(config: ModelConfig) -> None:
    model = the_model(config)
    features, mask = padded([9, 3, 6], padding=-20.0)
    order = torch.tensor([2, 0, 1])
    logits = model(features, mask)
    assert not torch.allclose(logits, logits[order])
    torch.testing.assert_close(model(features[order], mask[order]), logits[order], rtol=0, atol=1e-5)


@each_model
def test_shapes_of_embeddings_and_logits(config: ModelConfig) -> None:
    model = the_model(config)
    features, mask = padded([9, 1, 6], padding=-20.0)
    widths = {MeanConfig: 1, StatisticsConfig: 2, SelfAttentiveConfig: 2, AttentiveStatisticsConfig: 2}
    width = config.embedding_dim or widths[type(config.pooling)] * config.pooled_width
    assert model.embed(features, mask).shape == (3, width)
    assert model(features, mask).shape == (3, SPEAKERS)


@each_model
def test_gradients_reach_every_parameter(config: ModelConfig) -> None:
    model = a_model(config)  # in training BatchNorm cancels the biases before it
    features, mask = padded([9, 3, 6], padding=-20.0)
    F.cross_entropy(model.double()(features.double(), mask), torch.tensor([0, 1, 2])).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        # A key bias adds the same to the scores of all keys, which the softmax cancels.
        assert name.endswith("key.bias") or parameter.grad.abs().max() > 1e-9, name


@each_model
def test_parameters_are_counted_as_often_as_they_are_used(config: ModelConfig) -> None:
    model = a_model(config)
    applied = 0

    def note(module: nn.Module, *_: object) -> None:
        nonlocal applied
        applied += sum(parameter.numel() for parameter in module.parameters(recurse=False))

    for module in model.modules():
        module.register_forward_hook(note)
    model(log_mels(1, 5))
    assert applied_parameters(model) == applied
    assert unique_parameters(model) == sum(
        p.numel() for p in model.state_dict(keep_vars=True).values() if p.requires_grad
    )


@each_model
def test_float64_works_and_agrees(config: ModelConfig) -> None:
    model = a_model(config)
    features, mask = padded([9, 3, 6], padding=-20.0)
    single = model(features, mask)
    double = model.double()(features.double(), mask)
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), single, rtol=0, atol=1e-5)


@each_model
def test_one_frame_is_an_utterance(config: ModelConfig) -> None:
    model = the_model(config)
    first, second = model(log_mels(1, 1)), model(log_mels(1, 1))
    assert torch.isfinite(first).all()
    assert not torch.allclose(first, second)


@each_model
def test_a_training_step_has_finite_gradients(config: ModelConfig) -> None:
    model = a_model(config).train()
    loss = F.cross_entropy(model(log_mels(4, 20)), torch.arange(4))
    loss.backward()
    assert loss.isfinite()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@each_model
def test_eval_is_deterministic_and_training_is_not(config: ModelConfig) -> None:
    model = a_model(config)
    features = log_mels(2, 7)
    assert torch.equal(model(features), model(features))
    model.train()
    assert not torch.allclose(model(features), model(features))
