"""Losses compared with their formulas."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments import small_config
from speakerid.base.errors import UserError
from speakerid.config import Config, parse
from speakerid.config.settings import Settings
from speakerid.config.train import LossConfig
from speakerid.nn.cosine import CosineClassifier
from speakerid.training.losses import Loss, additive_angular_margin

N, S, SCALE = 6, 5, 20.0


class Holder(Settings, frozen=True):
    loss: LossConfig


def a_loss(scale: float = SCALE, **loss: Any) -> Loss:
    return Loss(parse(Holder, {"loss": loss}, "test").loss, scale)


def examples() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return 2 * torch.rand(N, S, dtype=torch.float64) - 1, torch.randint(S, (N,))


def written_out(cosines: list[float], label: int, target: float, smoothing: float) -> float:
    logits = [SCALE * (target if s == label else c) for s, c in enumerate(cosines)]
    log_sum = math.log(sum(math.exp(logit) for logit in logits))
    shares = [smoothing / S + (1 - smoothing) * (s == label) for s in range(S)]
    return sum(share * (log_sum - logit) for share, logit in zip(shares, logits, strict=True))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("margin", [0.0, 0.2, 0.5, 1.2])
@pytest.mark.parametrize("kind", ["am_softmax", "aam_softmax", "cross_entropy"])
def test_values(kind: str, margin: float, smoothing: float) -> None:
    cosines, labels = examples()
    expected = 0.0
    for row, label in zip(cosines.tolist(), labels.tolist(), strict=True):
        target = angle = row[label]
        if kind == "am_softmax":
            target = angle - margin
        elif kind == "aam_softmax":
            theta = math.acos(angle)
            target = math.cos(theta + margin) if theta < math.pi - margin else angle - margin * math.sin(margin)
        expected += written_out(row, label, target, smoothing)
    settings = {"kind": kind, "label_smoothing": smoothing}
    loss = a_loss(**settings)(SCALE * cosines, labels, torch.tensor(margin, dtype=torch.float64))
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_the_angular_margin_never_helps_and_never_jumps() -> None:
    cosines = torch.linspace(-1, 1, 2001, dtype=torch.float64, requires_grad=True)
    turned = additive_angular_margin(cosines, torch.tensor(0.3, dtype=torch.float64))
    assert (turned <= cosines + 1e-3).all()  # the sine is never quite 0
    assert (turned.diff() > -1e-3).all()
    (slopes,) = torch.autograd.grad(turned.sum(), cosines)
    assert slopes.isfinite().all()


@settings(deadline=None, max_examples=20)
@given(margin=st.floats(0, 1), kind=st.sampled_from(["am_softmax", "aam_softmax"]))
def test_a_margin_makes_the_loss_larger(margin: float, kind: str) -> None:
    cosines, labels = examples()
    plain = F.cross_entropy(SCALE * cosines, labels, reduction="sum").item()
    found = a_loss(kind=kind)(SCALE * cosines, labels, torch.tensor(margin, dtype=torch.float64)).item()
    assert found >= plain - 1e-3


def test_sub_centers_share_the_margin_of_their_speaker() -> None:
    torch.manual_seed(0)
    classifier = CosineClassifier(4, S, SCALE, sub_centers=3).double()
    x, labels = torch.randn(N, 4, dtype=torch.float64), torch.arange(N) % S
    expected = 0.0
    for row, label in zip(x, labels.tolist(), strict=True):
        cosines = [
            max(F.cosine_similarity(row, classifier.weight[k, s], dim=0).item() for k in range(3)) for s in range(S)
        ]
        expected += written_out(cosines, label, math.cos(math.acos(cosines[label]) + 0.2), 0.0)
    loss = a_loss(kind="aam_softmax")(classifier(x), labels, torch.tensor(0.2, dtype=torch.float64))
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_the_margin_rises_linearly() -> None:
    loss = a_loss(kind="am_softmax", margin=0.4, margin_warmup=0.5)
    assert [loss.margin(step, 100) for step in (0, 25, 50, 99)] == pytest.approx([0, 0.2, 0.4, 0.4])
    assert a_loss(kind="am_softmax", margin=0.4, margin_warmup=0).margin(0, 100) == 0.4
    assert a_loss(kind="cross_entropy").margin(50, 100) == 0


@pytest.mark.parametrize("kind", ["am_softmax", "aam_softmax"])
def test_a_margin_needs_cosines(kind: str, tmp_path: Any) -> None:
    settings = small_config(tmp_path, tmp_path / "run").model_dump(mode="json")
    settings["train"]["loss"] = kind
    expected = rf"^test: train\.loss={kind} applies a margin to cosines, so it needs model\.classifier=cosine, "
    with pytest.raises(UserError, match=expected + "found batchnorm$"):
        parse(Config, settings, "test")
    settings["model"]["classifier"] = {"kind": "cosine", "scale": 15}
    assert parse(Config, settings, "test").model.logit_scale == 15
