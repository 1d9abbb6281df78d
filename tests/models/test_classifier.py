import torch
import torch.nn.functional as F
from torch import nn

from speakerid.model_config import BatchNormConfig, LinearConfig, MlpConfig
from speakerid.models.classifier import build_classifier

WIDTH, SPEAKERS = 6, 4


def linears(classifier: nn.Module) -> list[nn.Linear]:
    return [layer for layer in classifier.modules() if isinstance(layer, nn.Linear)]


def test_mlp_is_linear_relu_linear() -> None:
    classifier, x = build_classifier(MlpConfig(kind="mlp"), WIDTH, SPEAKERS), torch.randn(5, WIDTH)
    first, second = linears(classifier)
    expected = (x @ first.weight.T + first.bias).clamp(min=0) @ second.weight.T + second.bias
    torch.testing.assert_close(classifier(x), expected)


def test_batchnorm_standardises_the_batch_in_front_of_a_linear() -> None:
    classifier, x = build_classifier(BatchNormConfig(), WIDTH, SPEAKERS), 3 * torch.randn(5, WIDTH) + 7
    (linear,) = linears(classifier)
    standard = (x - x.mean(0)) / (x.var(0, unbiased=False) + 1e-5).sqrt()
    torch.testing.assert_close(classifier(x), F.linear(standard, linear.weight, linear.bias), rtol=0, atol=1e-5)


def test_linear_is_one_linear() -> None:
    classifier, x = build_classifier(LinearConfig(kind="linear"), WIDTH, SPEAKERS), torch.randn(5, WIDTH)
    (linear,) = linears(classifier)
    torch.testing.assert_close(classifier(x), F.linear(x, linear.weight, linear.bias))
