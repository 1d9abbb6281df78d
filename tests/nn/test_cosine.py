import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speakerid.nn.cosine import CosineClassifier
from speakerid.nn.layers import BatchNorm

WIDTH, SPEAKERS = 6, 4


@pytest.mark.parametrize("sub_centers", [1, 3])
@pytest.mark.parametrize("scale", [30.0, 2.5])
def test_logits_are_scaled_cosines_with_the_nearest_center(scale: float, sub_centers: int) -> None:
    classifier = CosineClassifier(WIDTH, SPEAKERS, scale, sub_centers).double()
    x = 5 * torch.randn(7, WIDTH, dtype=torch.float64)
    logits = classifier(x)
    for n in range(7):
        for s in range(SPEAKERS):
            cosines = [
                (x[n] @ center) / (math.hypot(*x[n].tolist()) * math.hypot(*center.tolist()))
                for center in classifier.weight[:, s]
            ]
            assert logits[n, s].item() == pytest.approx(scale * max(c.item() for c in cosines))


@settings(deadline=None, max_examples=30)
@given(stretch=st.floats(1e-3, 1e3), longer=st.floats(1e-3, 1e3))
def test_lengths_do_not_matter(stretch: float, longer: float) -> None:
    torch.manual_seed(0)
    classifier = CosineClassifier(WIDTH, SPEAKERS, sub_centers=2)
    x = torch.randn(3, WIDTH)
    logits = classifier(x)
    with torch.no_grad():
        classifier.weight.mul_(longer)
    torch.testing.assert_close(classifier(stretch * x), logits, rtol=0, atol=1e-4)


def test_logits_lie_between_plus_and_minus_scale() -> None:
    classifier = CosineClassifier(WIDTH, SPEAKERS, scale=30)
    with torch.no_grad():
        classifier.weight[0, 1] = -classifier.weight[0, 0]
    logits = classifier(classifier.weight[0, :1])
    torch.testing.assert_close(logits[0, :2], torch.tensor([30.0, -30.0]))


def test_batch_norm_removes_what_all_embeddings_have_in_common() -> None:
    classifier = CosineClassifier(WIDTH, SPEAKERS, batch_norm=True)
    assert isinstance(classifier.norm, BatchNorm)
    x = torch.randn(50, WIDTH)
    torch.testing.assert_close(classifier(x + 100), classifier(x), rtol=0, atol=1e-2)


def test_an_embedding_of_zeros_has_finite_gradients() -> None:
    classifier = CosineClassifier(WIDTH, SPEAKERS)
    x = torch.zeros(1, WIDTH, requires_grad=True)
    classifier(x).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_autocast_keeps_the_precision_of_cosines() -> None:
    classifier, x = CosineClassifier(WIDTH, SPEAKERS), torch.randn(3, WIDTH)
    with torch.autocast("cpu", torch.bfloat16):
        logits = classifier(x)
    assert torch.equal(logits, classifier(x))
