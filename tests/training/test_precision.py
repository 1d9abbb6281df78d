"""`train.precision: auto`, on processors with and without bfloat16, and in runs that move between them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from experiments import (
    answer,
    assert_same_run,
    at_step,
    interrupt,
    metrics,
    small_config,
    write_config,
    write_easy_corpus,
)
from small_models import ENCODERS
from speakerid.base.errors import UserError
from speakerid.base.progress import Progress
from speakerid.config import ModelConfig, TrainConfig, parse
from speakerid.config.train import Precision
from speakerid.corpus.check import open_corpus
from speakerid.nn.classifier import SpeakerClassifier
from speakerid.training import precision as module
from speakerid.training.checkpoint import Checkpoint
from speakerid.training.find_batch_size import find_batch_size
from speakerid.training.model_size import check_fits
from speakerid.training.precision import bfloat16_unit, choose_precision, parameter_dtype
from speakerid.training.run import train
from speakerid.training.step import TrainingStep

CPU = torch.device("cpu")
NEAR: dict[Precision, tuple[float, float, float]] = {"float64": (1e-6, 1e-5, 1e-4), "bfloat16": (1e-3, 0.05, 0.4)}
"""Largest relative difference to float32 of the loss, of the gradient, and of the gradient of each parameter, the last
relative to at least a hundredth of the whole. bfloat16 has 8 bits; measured are a third of its bounds to a half."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_easy_corpus(tmp_path_factory.mktemp("precision") / "corpus")


def processor(monkeypatch: pytest.MonkeyPatch, machine: str, **units: bool) -> None:
    """As if the process ran on this processor."""
    for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"architecture": machine, **units}, raising=False)


@pytest.fixture
def with_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    processor(monkeypatch, "x86_64", avx512_bf16=True, amx_bf16=True)


@pytest.mark.parametrize(
    ("machine", "units", "expected"),
    [
        ("x86_64", ["avx512_bf16", "amx_bf16"], "precision: bfloat16 (this processor computes it: amx)"),
        ("AMD64", ["avx512_bf16"], "precision: bfloat16 (this processor computes it: avx512_bf16)"),
        ("x86_64", ["avx512_f", "avx2"], "precision: float32 (this processor would emulate bfloat16)"),
        ("arm64", ["neon", "bf16"], "precision: float32 (bfloat16 is chosen on x86 processors and CUDA GPUs only)"),
        ("aarch64", ["sve_bf16"], "precision: float32 (bfloat16 is chosen on x86 processors and CUDA GPUs only)"),
    ],
)
def test_auto_is_bfloat16_where_the_processor_computes_it(
    machine: str, units: list[str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    processor(monkeypatch, machine, **dict.fromkeys(units, True))
    assert str(choose_precision("auto", CPU)) == expected


def test_former_versions_of_pytorch_are_asked_in_their_way(monkeypatch: pytest.MonkeyPatch) -> None:
    processor(monkeypatch, "x86_64")
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    for amx, avx512, expected in ((True, True, "amx"), (False, True, "avx512_bf16"), (False, False, "")):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda amx=amx: amx)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda avx512=avx512: avx512)
        assert bfloat16_unit(CPU) == expected


@pytest.mark.usefixtures("with_bfloat16")
@pytest.mark.parametrize("variable", ["ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"])
@pytest.mark.parametrize(
    ("limit", "unit"),
    [
        ("AVX2", ""),
        ("avx512_core", ""),
        ("AVX512_CORE_BF16", "avx512_bf16"),
        ("AVX512_CORE_AMX", "amx"),
        ("ALL", "amx"),
        ("", "amx"),
    ],
)
def test_a_limit_of_onednn_is_a_processor_without_the_unit(
    variable: str, limit: str, unit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, limit)
    assert bfloat16_unit(CPU) == unit


def test_this_processor_can_be_asked() -> None:
    """Whatever it is; the test of a processor of another kind than those above."""
    assert bfloat16_unit(CPU) in ("amx", "avx512_bf16", "")
    assert bfloat16_unit(torch.device("meta")) == ""


@pytest.mark.parametrize(
    ("major", "expected"),
    [(8, "bfloat16 (this GPU computes it: tensor cores)"), (7, "float32 (this GPU would emulate bfloat16)")],
)
def test_auto_on_a_gpu(major: int, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    entered: list[torch.device] = []

    class Entered:
        def __init__(self, device: torch.device) -> None:
            entered.append(device)

        def __enter__(self) -> None: ...

        def __exit__(self, *args: object) -> None: ...

    monkeypatch.setattr(torch.cuda, "device", Entered)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation or major >= 8)
    assert str(choose_precision("auto", torch.device("cuda:1"))) == f"precision: {expected}"
    assert entered == [torch.device("cuda:1")]


def test_all_processes_compute_in_bfloat16_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for others, name in (("amx", "bfloat16"), ("", "float32")):
        monkeypatch.setattr(module, "gathered", lambda mine, others=others: ["amx", others])
        assert choose_precision("auto", CPU).name == name


def test_named_precisions_are_taken_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    processor(monkeypatch, "x86_64")
    for name in ("float32", "tf32", "bfloat16", "float64"):
        assert str(choose_precision(name, CPU)) == f"precision: {name}"


@pytest.mark.parametrize("limit", ["AVX2", "ALL"])
def test_a_run_says_its_precision_and_trains_in_it(
    limit: str, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    processor(monkeypatch, "x86_64", avx512_bf16=True)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    name, line = {
        "AVX2": ("float32", "precision: float32 (this processor would emulate bfloat16)"),
        "ALL": ("bfloat16", "precision: bfloat16 (this processor computes it: avx512_bf16)"),
    }[limit]
    found = train(small_config(corpus, tmp_path / "auto", precision="auto")).run
    assert capsys.readouterr().out.splitlines().count(line) == 1
    expected = train(small_config(corpus, tmp_path / "named", precision=name)).run
    assert "precision:" not in capsys.readouterr().out
    assert_same_run(found.path, expected.path)
    assert Checkpoint.load(found.last).config.train.precision == "auto"
    assert Checkpoint.load(found.last).precision == name


@pytest.mark.usefixtures("with_bfloat16")
def test_a_run_continues_on_a_machine_of_another_kind_and_says_so(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = small_config(corpus, tmp_path / "run", precision="auto")
    with monkeypatch.context() as patch:
        at_step(patch, 5, interrupt)
        train(config)
    assert Checkpoint.load(tmp_path / "run" / "last.pt").precision == "bfloat16"
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    capsys.readouterr()
    finished = train(config, resume=True).run
    line = "precision: float32 (this processor would emulate bfloat16); the steps before were in bfloat16"
    assert "".join(capsys.readouterr()).count(line) == 1
    assert Checkpoint.load(finished.last).step == 12
    assert Checkpoint.load(finished.last).precision == "float32"
    train(config, resume=True)
    assert line not in "".join(capsys.readouterr())


@pytest.mark.usefixtures("with_bfloat16")
def test_a_checkpoint_of_a_former_version_resumes_without_a_word(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = small_config(corpus, tmp_path / "run")
    with monkeypatch.context() as patch:
        at_step(patch, 5, interrupt)
        run = train(config).run
    for path in (run.path / "checkpoints").glob("*.pt"):  # last.pt is another name of one of them
        content = torch.load(path, weights_only=True)
        del content["precision"]
        torch.save(content, path)
    assert Checkpoint.load(run.last).precision is None
    capsys.readouterr()
    train(config, resume=True)
    assert "precision:" not in "".join(capsys.readouterr())
    whole = train(small_config(corpus, tmp_path / "whole")).run
    assert metrics(run.metrics) == metrics(whole.metrics)


def test_batch_sizes_are_tried_in_the_precision_of_the_run(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    processor(monkeypatch, "x86_64")
    monkeypatch.setattr("speakerid.training.find_batch_size.SECONDS", 0.01)
    monkeypatch.setattr("speakerid.training.find_batch_size.GAIN", 1e9)
    find_batch_size(small_config(corpus, tmp_path / "run", precision="auto"), Progress())
    assert capsys.readouterr().out.count("precision: float32 (this processor would emulate bfloat16)") == 1
    config = write_config(tmp_path / "x.yaml", small_config(corpus, tmp_path / "run", precision="tf32"))
    assert answer(monkeypatch, "train", "--config", config, "--find-batch-size") == 2
    assert "train.precision: found tf32, which only a GPU has" in capsys.readouterr().err


def test_bfloat16_needs_less_memory_at_least(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    monkeypatch.setattr("speakerid.training.model_size.machine_memory", lambda: 0)

    def needed(precision: str) -> float:
        config = small_config(corpus, tmp_path, precision=precision, batch_size=10**6, crop_frames=1000)
        with pytest.raises(UserError) as error:
            check_fits(config, open_corpus(corpus)[0], CPU)
        return float(str(error.value).split()[4].replace(",", ""))

    # 8 bands and a width of 8 in a billion frames
    assert [round(needed(name)) for name in ("float64", "float32", "bfloat16")] == [119, 60, 45]


def loss_and_gradients(encoder: dict[str, Any], precision: Precision) -> tuple[float, dict[str, Tensor]]:
    """Loss and gradients of one step with dropout."""
    torch.manual_seed(0)
    content = {
        "d_model": 32,
        "encoder": {"num_layers": 2, "nhead": 2, "dropout": 0.2} | encoder,
        "classifier": "linear",
    }
    model = SpeakerClassifier(parse(ModelConfig, content, "test"), 8, 4)
    features, labels = torch.randn(16, 30, 8), torch.arange(16) % 4
    train = {"batch_size": 16, "max_grad_norm": 1e9, "precision": precision}
    step = TrainingStep(model.to(parameter_dtype(precision)), parse(TrainConfig, train, "test"))
    step(features, labels, 0, 0.0)
    return step.sums()["loss"], {name: p.grad.double() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("precision", NEAR)
@pytest.mark.parametrize("encoder", ENCODERS.values(), ids=ENCODERS.keys())
def test_every_encoder_learns_nearly_the_same_in_any_precision(encoder: dict[str, Any], precision: Precision) -> None:
    exact, expected = loss_and_gradients(encoder, "float32")
    loss, found = loss_and_gradients(encoder, precision)
    of_loss, of_all, of_each = NEAR[precision]
    assert 0 < abs(loss - exact) < of_loss * exact
    size = torch.cat([gradient.flatten() for gradient in expected.values()]).norm()
    assert found.keys() == expected.keys()
    differences = {name: gradient - expected[name] for name, gradient in found.items()}
    assert torch.cat([difference.flatten() for difference in differences.values()]).norm() < of_all * size
    for name, difference in differences.items():
        assert difference.norm() < of_each * (expected[name].norm() + size / 100), name
