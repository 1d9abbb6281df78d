"""Captured steps, on a CPU: `recorded_cuda` records the operations of a step and runs them again."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from experiments import assert_same, assert_same_run, at_step, interrupt, small_config, write_easy_corpus
from recorded_cuda import RecordedCuda
from small_models import ENCODERS
from speakerid.config import ModelConfig, TrainConfig, parse
from speakerid.nn.classifier import SpeakerClassifier
from speakerid.training.cuda_graph import WARM_UP, StepGraph, can_capture
from speakerid.training.run import train
from speakerid.training.step import TrainingStep

B, M, S = 6, 8, 4
GPU = torch.device("cuda:1")


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> RecordedCuda:
    return RecordedCuda(monkeypatch)


def test_every_step_of_every_shape_runs_once(cuda: RecordedCuda) -> None:
    total, called = torch.zeros(()), 0

    def work(x: Tensor, y: Tensor) -> None:
        nonlocal called
        called += 1
        total.add_((x.sum(1) * y).sum())

    step, expected = StepGraph(work, GPU), 0.0
    for k in range(8):
        for width in (3, 5):
            x, y = torch.full((2, width), float(k + 1)), torch.tensor([1.0, 2.0])
            assert step(x, y)
            expected += 3 * width * (k + 1)
            assert total == expected
            assert (x == k + 1).all()
            x.zero_()  # a graph that reads the caller's batch would see this
    assert called == 2 * (WARM_UP + 1)
    assert [graph.replays for graph in cuda.graphs] == [8 - WARM_UP] * 2
    assert set(cuda.devices) == {GPU}


def test_another_thread_may_allocate_during_a_capture(cuda: RecordedCuda) -> None:
    step = StepGraph(lambda x: None, GPU)
    for _ in range(WARM_UP + 1):
        step(torch.zeros(1))
    assert cuda.error_modes == ["thread_local"]


def test_after_a_failed_capture_nothing_has_changed(cuda: RecordedCuda) -> None:
    total = torch.zeros(())

    def work(x: Tensor) -> None:
        assert cuda.draws, "Offset increment outside graph capture encountered unexpectedly."
        total.add_(x.sum())
        if cuda.is_capturing:
            total.item()

    step, x = StepGraph(work, GPU), torch.ones(2)
    assert [step(x) for _ in range(WARM_UP + 1)] == [True] * WARM_UP + [False]
    assert total == 2 * WARM_UP
    assert step.reason == "operation not permitted when stream is capturing"
    assert cuda.stream is cuda.default_stream
    work(x)


def test_only_a_gpu_of_one_process_captures(monkeypatch: pytest.MonkeyPatch) -> None:
    assert can_capture(GPU)
    assert not can_capture(torch.device("cpu"))
    monkeypatch.setattr("speakerid.training.cuda_graph.is_shared", lambda: True)
    assert not can_capture(GPU)


class Run:
    """A model with its `TrainingStep`."""

    def __init__(self, encoder: dict[str, Any], classifier: Any = "batchnorm", **train: object) -> None:
        common = {"num_layers": 2, "nhead": 2, "dropout": 0.2, "layer_drop": 0.3}
        config = parse(ModelConfig, {"d_model": 8, "encoder": common | encoder, "classifier": classifier}, "test")
        torch.manual_seed(0)
        self.model: nn.Module = SpeakerClassifier(config, M, S)
        self.settings = parse(TrainConfig, {"batch_size": B, "total_steps": 20, "warmup_steps": 0, **train}, "test")
        self.said: list[str] = []
        self.step = TrainingStep(self.model, self.settings, 7, self.said.append, config.logit_scale)

    def learn(self, first: int = 0, last: int = 14) -> None:
        """Steps with crops of two lengths and a learning rate of their own."""
        for k in range(first, last):
            generator = torch.Generator().manual_seed(k)
            features = 3 * torch.randn(B, 12 + 4 * (k % 2), M, generator=generator)
            self.step(features, torch.randint(S, (B,), generator=generator), k, 0.01 / (1 + k))

    def state(self) -> dict[str, Any]:
        return {"model": self.model.state_dict(), "optimizers": self.step.state_dict(), "sums": self.step.sums()}


EVERYTHING = {
    "optimizer": "muon", "mixup": 0.5, "accumulate": 2, "loss": {"kind": "aam_softmax", "margin_warmup": 0.9},
    "spec_augment": {"time_masks": 2, "band_masks": 1, "time_width": 4},
    "channel_augment": dict.fromkeys(("reverberation", "babble", "noise", "equalization", "band_limit"), 0.5),
}  # fmt: skip
RUNS: dict[str, dict[str, Any]] = {name: {"encoder": encoder} for name, encoder in ENCODERS.items()} | {
    "everything": {"encoder": ENCODERS["glu conformer"], "classifier": {"kind": "cosine", "scale": 10}, **EVERYTHING},
    "bfloat16": {"encoder": ENCODERS["glu conformer"], "precision": "bfloat16", "optimizer": "muon"},
}
each_run = pytest.mark.parametrize("kind", RUNS.values(), ids=RUNS.keys())


@each_run
def test_replayed_steps_learn_what_ordinary_ones_do(kind: dict[str, Any], cuda: RecordedCuda) -> None:
    """Every number that changes from step to step reaches a captured step: nothing of the first one is frozen."""
    captured, ordinary = Run(**kind), Run(**kind, graph=False)
    captured.learn()
    ordinary.learn()
    assert captured.said == []
    assert [graph.replays for graph in cuda.graphs] == [7 - WARM_UP] * 2
    assert_same(captured.state(), ordinary.state(), "run")


def test_a_step_continues_after_its_state_is_restored(cuda: RecordedCuda) -> None:
    captured, ordinary = Run(**RUNS["everything"]), Run(**RUNS["everything"], graph=False)
    for run in (captured, ordinary):
        run.learn(0, 10)
        state = copy.deepcopy(run.state())
        run.learn(10, 14)
        run.model.load_state_dict(state["model"])
        run.step.load_state_dict(state["optimizers"], state["sums"])
        run.learn(10, 20)
    assert len(cuda.graphs) == 4
    assert_same(captured.state(), ordinary.state(), "run")


@pytest.mark.parametrize("when", [1, 2])
def test_a_run_whose_capture_fails_continues_without_and_says_so(when: int, cuda: RecordedCuda) -> None:
    def fail() -> None:
        if cuda.attempts == when:
            raise RuntimeError("CUDA error: no kernel image\nCompile with …")

    cuda.failure = fail
    captured, ordinary = Run(**RUNS["everything"]), Run(**RUNS["everything"], graph=False)
    captured.learn()
    ordinary.learn()
    assert captured.said == [
        "train.graph: the capture failed, training continues without it (CUDA error: no kernel image); "
        "train.graph=false does not try"
    ]
    assert cuda.attempts == when
    assert_same(captured.state(), ordinary.state(), "run")


def test_without_the_setting_nothing_is_captured(cuda: RecordedCuda) -> None:
    Run(**RUNS["glu conformer"], graph=False).learn()
    assert cuda.attempts == 0


def test_a_captured_run_resumes_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = write_easy_corpus(tmp_path / "corpus")
    whole = train(small_config(corpus, tmp_path / "whole", ema=0.9)).run
    cuda = RecordedCuda(monkeypatch)
    config = small_config(corpus, tmp_path / "run", ema=0.9)
    with monkeypatch.context() as patch:
        at_step(patch, 6, interrupt)
        train(config)
    resumed = train(config, resume=True).run
    assert len(cuda.graphs) == 2
    assert_same_run(resumed.path, whole.path)
