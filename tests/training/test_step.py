"""Training steps compared with a simple loop; precision, compilation, accumulation and lack of memory."""

import copy
import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from experiments import at_step, metrics, small_config, write_easy_corpus
from speakerid.base.errors import UserError
from speakerid.config import ModelConfig, TrainConfig, parse
from speakerid.nn.classifier import SpeakerClassifier
from speakerid.training.checkpoint import Checkpoint
from speakerid.training.optimizers import optimizers
from speakerid.training.run import train
from speakerid.training.step import TrainingStep

B, T, M, S = 8, 12, 5, 4
RATES = [0.01, 0.02, 0.005]


def classifier(dropout: float = 0.0, kind: str = "transformer") -> SpeakerClassifier:
    torch.manual_seed(0)
    encoder = {"kind": kind, "num_layers": 1, "nhead": 2, "dim_feedforward": 16, "dropout": dropout}
    config = parse(ModelConfig, {"d_model": 8, "encoder": encoder, "classifier": "linear"}, "test")
    return SpeakerClassifier(config, M, S)


def batches() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [(3 * torch.randn(B, T, M, generator=generator), torch.randint(S, (B,), generator=generator)) for _ in RATES]


def settings(**train: object) -> TrainConfig:
    return parse(TrainConfig, {"batch_size": B, "crop_frames": T, "max_grad_norm": 0.5, **train}, "test")


def learned(model: nn.Module, seed: int = 0, first: int = 0, **train: object) -> tuple[nn.Module, TrainingStep]:
    """A copy of the model after three steps, and the `TrainingStep`."""
    model = copy.deepcopy(model)
    step = TrainingStep(model, settings(**train), seed)
    for k, (rate, (features, labels)) in enumerate(zip(RATES, batches(), strict=True), first):
        step(features, labels, k, rate)
    return model, step


def difference(a: nn.Module, b: nn.Module) -> float:
    return max((x - y).abs().max().item() for x, y in zip(a.parameters(), b.parameters(), strict=True))


def plain_optimizer(model: nn.Module) -> torch.optim.Optimizer:
    biases = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": [p for p in model.parameters() if p.ndim > 1]}, {"params": biases, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, weight_decay=0.01, fused=False)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = torch.tensor(rate).item()  # rounded to float32


@pytest.mark.parametrize("accumulate", [1, 2, 3, 4, 8])
def test_it_matches_a_simple_loop_in_any_number_of_parts(accumulate: int) -> None:
    model = classifier().double()
    expected = copy.deepcopy(model)
    optimizer = plain_optimizer(expected)
    loss = correct = 0.0
    for rate, (features, labels) in zip(RATES, batches(), strict=True):
        set_rate(optimizer, rate)
        optimizer.zero_grad()
        logits = expected(features.double())
        F.cross_entropy(logits, labels).backward()
        assert nn.utils.clip_grad_norm_(expected.parameters(), 0.5) > 0.5
        optimizer.step()
        loss += F.cross_entropy(logits, labels, reduction="sum").item()
        correct += (logits.argmax(-1) == labels).sum().item()
    found, step = learned(model, accumulate=accumulate)
    for a, b in zip(found.parameters(), expected.parameters(), strict=True):
        assert a.grad is not None
        assert b.grad is not None
        torch.testing.assert_close(a.grad, b.grad, rtol=0, atol=1e-12)
    assert difference(found, expected) < 1e-9  # Adam divides a gradient that is nearly zero by its own size
    assert difference(found, model) > 1e-3
    sums = {"loss": loss, "cross_entropy": loss, "correct": correct, "count": 3 * B}
    assert step.sums() == pytest.approx(sums, abs=1e-9)
    step.clear()
    assert step.sums() == dict.fromkeys(sums, 0)


@pytest.mark.parametrize("kind", ["transformer", "conformer"])
def test_random_numbers_depend_on_seed_and_step(kind: str) -> None:
    model = classifier(dropout=0.3, kind=kind)
    torch.manual_seed(17)
    found, _ = learned(model, seed=3, first=5)
    torch.manual_seed(18)
    assert difference(learned(model, seed=3, first=5)[0], found) == 0
    assert difference(learned(model, seed=3, first=6)[0], found) > 1e-4
    assert difference(learned(model, seed=4, first=5)[0], found) > 1e-4


def test_a_step_begins_where_the_one_before_ended_wherever_it_was_saved() -> None:
    model = classifier(dropout=0.3)
    whole, _ = learned(model)
    first, second = copy.deepcopy(model), copy.deepcopy(model)
    step = TrainingStep(first, settings())
    for k in (0, 1):
        step(*batches()[k], k, RATES[k])
    again = TrainingStep(second, settings())
    second.load_state_dict(first.state_dict())
    again.load_state_dict(copy.deepcopy(step.state_dict()), step.sums())
    assert again.sums() == step.sums()
    again(*batches()[2], 2, RATES[2])
    assert difference(second, whole) == 0


def test_norms_and_biases_do_not_decay() -> None:
    model = classifier(kind="conformer")
    (optimizer,) = optimizers(model, settings())
    decaying, fixed = optimizer.param_groups
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert (decaying["weight_decay"], fixed["weight_decay"]) == (0.01, 0)
    assert {names[id(p)].rpartition(".")[2] for p in decaying["params"]} == {"weight"}
    assert all(p.ndim > 1 for p in decaying["params"])
    assert len(decaying["params"]) + len(fixed["params"]) == len(names)


@pytest.mark.parametrize("accumulate", [1, 4])
def test_mixup_matches_a_simple_loop(accumulate: int) -> None:
    model = classifier().double()
    found, step = learned(model, seed=7, mixup=0.4, accumulate=accumulate, max_grad_norm=1e9)
    expected = copy.deepcopy(model)
    optimizer = plain_optimizer(expected)
    loss = correct = 0.0
    for k, (rate, (x, y)) in enumerate(zip(RATES, batches(), strict=True)):
        share = torch.tensor(np.random.default_rng([7, k, 1]).beta(0.4, 0.4)).float().item()
        assert 0 <= share <= 1
        set_rate(optimizer, rate)
        optimizer.zero_grad()
        others, labels = x.roll(1, 0), y.roll(1)
        logits = expected((others + share * (x - others)).double())
        mixed = [
            share * f(y) + (1 - share) * f(labels)
            for f in (
                lambda c, a=logits: F.cross_entropy(a, c, reduction="sum"),
                lambda c, a=logits: (a.argmax(-1) == c).double().sum(),
            )
        ]
        (mixed[0] / B).backward()
        optimizer.step()
        loss, correct = loss + mixed[0].item(), correct + mixed[1].item()
    sums = {"loss": loss, "cross_entropy": loss, "correct": correct, "count": 3 * B}
    assert step.sums() == pytest.approx(sums, rel=1e-5)
    assert difference(found, expected) < 1e-4
    assert difference(found, model) > 1e-3


@pytest.mark.parametrize("kind", ["am_softmax", "aam_softmax"])
def test_a_margin_changes_neither_accuracy_nor_cross_entropy(kind: str) -> None:
    torch.manual_seed(0)
    encoder = {"kind": "transformer", "num_layers": 1, "nhead": 2, "dim_feedforward": 16, "dropout": 0.0}
    cosine = {"kind": "cosine", "scale": 10}
    model = SpeakerClassifier(
        parse(ModelConfig, {"d_model": 8, "encoder": encoder, "classifier": cosine}, "test"), M, S
    )
    features, labels = batches()[0]
    logits = model(features)
    loss = {"kind": kind, "margin": 0.5, "margin_warmup": 0}
    step = TrainingStep(model, settings(loss=loss), scale=10)
    step(features, labels, 0, 0.0)
    sums = step.sums()
    assert sums["correct"] == (logits.argmax(-1) == labels).sum()
    assert sums["cross_entropy"] == pytest.approx(F.cross_entropy(logits, labels, reduction="sum").item(), rel=1e-4)
    assert sums["loss"] > sums["cross_entropy"] + 1


def test_masks_are_drawn_at_every_step_and_not_in_evaluation() -> None:
    model = classifier()
    hide: dict[str, Any] = {"spec_augment": {"time_masks": 2, "time_width": 6, "band_masks": 1, "band_width": 3}}
    found, _ = learned(model, **hide)
    assert difference(learned(model, **hide)[0], found) == 0
    assert difference(learned(model, first=1, **hide)[0], found) > 1e-4
    assert difference(learned(model)[0], found) > 1e-4


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_the_first_bad_step_is_remembered(bad: float) -> None:
    step = TrainingStep(classifier(), settings())
    for k, factor in enumerate([1.0, bad, 1.0]):
        features, labels = batches()[k]
        step(features * factor, labels, 40 + k, RATES[k])
        assert step.bad_step() == (0 if k == 0 else 42)


def test_bfloat16_is_near_float32_and_keeps_float32_weights() -> None:
    model = classifier()
    a, exact = learned(model)
    b, rounded = learned(model, precision="bfloat16")
    assert {parameter.dtype for parameter in b.parameters()} == {torch.float32}
    assert {state["exp_avg"].dtype for state in rounded.state_dict()[0]["state"].values()} == {torch.float32}
    assert rounded.sums()["loss"] == pytest.approx(exact.sums()["loss"], rel=0.02)
    assert rounded.sums()["loss"] != exact.sums()["loss"]
    assert 0 < difference(a, b) < 2 * sum(RATES)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_easy_corpus(tmp_path_factory.mktemp("step") / "corpus")


def test_float64_throughout(corpus: Path, tmp_path: Path) -> None:
    runs = [
        train(small_config(corpus, tmp_path / precision, precision=precision)).run
        for precision in ("float32", "float64")
    ]
    assert Checkpoint.load(runs[1].best).model["prenet.weight"].dtype == torch.float64
    a, b = (metrics(run.metrics) for run in runs)
    assert a[0]["loss"] == pytest.approx(b[0]["loss"], rel=1e-4)
    assert a[-1]["loss"] == pytest.approx(b[-1]["loss"], rel=0.1)
    assert a != b


@pytest.mark.nightly
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore")
def test_compiled_equals_eager() -> None:
    """Compare gradients, not weights: AdamW turns the rounding error of a zero gradient into a full step."""
    said: list[str] = []
    models = [classifier(), classifier()]
    steps = [TrainingStep(model, settings(compile=model is models[0]), say=said.append) for model in models]
    for k, (features, labels) in enumerate(batches()):
        for step in steps:
            step(features, labels, k, RATES[k])
        for a, b in zip(*(model.parameters() for model in models), strict=True):
            torch.testing.assert_close(a.grad, b.grad, rtol=0, atol=1e-4)
    assert said == []
    assert steps[0].sums() == pytest.approx(steps[1].sums(), rel=1e-4)


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore")
def test_without_a_compiler_training_continues_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch._inductor.config as inductor

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(inductor.cpp, "cxx", (None, "no-such-compiler"))
    torch._dynamo.reset()
    model, said = classifier(dropout=0.3), []
    step = TrainingStep(found := copy.deepcopy(model), settings(compile=True), say=said.append)
    for k, (features, labels) in enumerate(batches()):
        step(features, labels, k, RATES[k])
    torch._dynamo.reset()
    assert len(said) == 1
    assert said[0].startswith("train.compile: failed, training continues without it (")
    assert "\n" not in said[0]
    assert difference(found, learned(model)[0]) == 0


def raising(error: Exception) -> Callable[..., None]:
    def fail(*arguments: object, **named: object) -> None:
        raise error

    return fail


NO_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried 8 bytes."),
    MemoryError("Unable to allocate 8 TiB for an array"),
]


@pytest.mark.parametrize("error", NO_MEMORY, ids=lambda error: type(error).__name__)
def test_without_memory_for_a_step_it_says_what_to_try(
    error: Exception, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_step(monkeypatch, 4, raising(error))
    line = r"^memory ran out in step 5 at train\.batch_size=6, train\.crop_frames=16, .*"
    line += r"train\.batch_size=3, or train\.crop_frames=8; .*$"
    with pytest.raises(UserError, match=line):
        train(small_config(corpus, tmp_path / "run"))
    assert Checkpoint.load(tmp_path / "run" / "last.pt").step == 4


@pytest.mark.parametrize("error", NO_MEMORY, ids=lambda error: type(error).__name__)
def test_without_memory_for_a_validation_it_says_what_to_try(
    error: Exception, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config(corpus, tmp_path / "run")
    line = r"^memory ran out in the validation after step 4 at data\.frames_per_batch=16384; try .*=8192$"
    with monkeypatch.context() as patch:
        patch.setattr("speakerid.training.validation.predict_batches", raising(error))
        with pytest.raises(UserError, match=line):
            train(config)
    assert Checkpoint.load(tmp_path / "run" / "last.pt").step == 4
    as_told = config.model_copy(update={"data": config.data.model_copy(update={"frames_per_batch": 8192})})
    assert train(as_told, resume=True).best_accuracy


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="memory is read from /proc")
def test_a_machine_that_really_has_no_more_memory(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_AS)

    def limit() -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 100_000_000, limits[1]))

    at_step(monkeypatch, 0, limit)
    try:
        with pytest.raises(UserError, match=r"^memory ran out in step 1 at train\.batch_size=4000, .*$"):
            train(small_config(corpus, tmp_path / "run", batch_size=4_000, crop_frames=200))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def test_other_errors_are_not_called_a_lack_of_memory(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_step(monkeypatch, 1, raising(RuntimeError("mat1 and mat2 shapes cannot be multiplied")))
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        train(small_config(corpus, tmp_path / "run"))
