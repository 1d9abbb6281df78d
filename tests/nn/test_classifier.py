import torch
import torch.nn.functional as F
from torch import nn

from speakerid.config.model import BatchNormConfig, LinearConfig, MlpConfig, ModelConfig
from speakerid.nn.build import build_classifier
from speakerid.nn.classifier import SpeakerClassifier

MELS, WIDTH, SPEAKERS = 5, 6, 4
WIDENED = ModelConfig.model_validate(
    {"d_model": WIDTH, "encoder": {"kind": "conformer"}, "pooling": "statistics", "pooling_width": 20}
)


def linears(classifier: nn.Module) -> list[nn.Linear]:
    return [layer for layer in classifier.modules() if isinstance(layer, nn.Linear)]


def test_mlp_is_linear_relu_linear() -> None:
    classifier, x = build_classifier(MlpConfig(kind="mlp"), WIDTH, SPEAKERS), torch.randn(5, WIDTH)
    first, second = linears(classifier)
    expected = (x @ first.weight.T + first.bias).clamp(min=0) @ second.weight.T + second.bias
    torch.testing.assert_close(classifier(x), expected)


def test_batchnorm_precedes_a_linear() -> None:
    classifier, x = build_classifier(BatchNormConfig(), WIDTH, SPEAKERS), 3 * torch.randn(5, WIDTH) + 7
    (linear,) = linears(classifier)
    standard = (x - x.mean(0)) / (x.var(0, unbiased=False) + 1e-5).sqrt()
    torch.testing.assert_close(classifier(x), F.linear(standard, linear.weight, linear.bias), rtol=0, atol=1e-5)


def test_linear_is_one_linear() -> None:
    classifier, x = build_classifier(LinearConfig(kind="linear"), WIDTH, SPEAKERS), torch.randn(5, WIDTH)
    (linear,) = linears(classifier)
    torch.testing.assert_close(classifier(x), F.linear(x, linear.weight, linear.bias))


def test_statistics_are_those_of_the_widened_frames() -> None:
    model = SpeakerClassifier(WIDENED, MELS, SPEAKERS).eval()
    features = torch.randn(2, 9, MELS)
    frames = model.encoder(model.prenet(features))
    (linear,) = linears(model.expansion)
    widened = (frames @ linear.weight.T + linear.bias).clamp(min=0)
    expected = torch.cat([widened.mean(1), widened.var(1, unbiased=False).clamp(min=1e-5).sqrt()], 1)
    assert expected.shape == (2, 2 * 20)
    torch.testing.assert_close(model.embed(features), expected, rtol=0, atol=1e-5)


def test_without_pooling_width_there_is_no_expansion() -> None:
    model = SpeakerClassifier(WIDENED.model_copy(update={"pooling_width": None}), MELS, SPEAKERS)
    assert not [name for name in model.state_dict() if name.startswith("expansion")]
    assert model.embed(torch.randn(2, 9, MELS)).shape == (2, 2 * WIDTH)
