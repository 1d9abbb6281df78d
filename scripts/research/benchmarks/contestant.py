"""Process that trains and predicts on request: `python -m benchmarks.contestant OURS FOLDER`.

It reads requests and writes answers as lines of JSON. So contestants can take turns, while each keeps a process of its
own, with its own memory and its own version of `speakerid` (set by PYTHONPATH).
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

import speakerid
from speakerid.config import Config, load_config
from speakerid.corpus.check import open_corpus
from speakerid.training.moving_average import MovingAverage
from speakerid.training.step import TrainingStep

from .names import SpeakerClassifier, TrainingBatches, keep_freed_memory, predict
from .plain import PlainBatches, PlainConformer, PlainStep, PlainTransformer, plain_predict

CONFIGS = Path(speakerid.__file__).parents[2] / "configs"
Task = Literal["task1_transformer", "task2_conformer", "few_minutes"]
"""Name of a config; there is no plain implementation of the last one."""
Precision = Literal["float32", "bfloat16"]
WARM_UP = 3
"""Number of steps before the measurement starts."""
LARGEST = {"cpu": 2048, "cuda": 8192}
"""Largest size of the square matrices whose product is timed for the ceiling."""
LONG_ENOUGH = 0.05
"""Smallest duration of the product, in seconds; a processor that emulates bfloat16 takes minutes for the largest."""


@dataclass(frozen=True)
class Variant:
    """Variant of the training."""

    task: Task
    precision: Precision = "float32"
    dropout: float = 0.1
    batch_size: int = 32
    crop_frames: int = 128
    device: str = "cpu"


class Contestant:
    """One implementation of the training.

    Args:
        ours: use this package's implementation instead of the plain one.
        folder: folder with a packed corpus and the same in files, see `benchmarks.training.write_corpus`.
    """

    def __init__(self, ours: bool, folder: Path) -> None:
        self._ours = ours
        self._corpus, self._store = open_corpus(folder)
        self._files = [folder / name for name in self._corpus.labelled.names]
        self._labels = self._corpus.labelled.speakers
        self._trained, self._untrained = cache(self._train), cache(self.model)
        self._steps = 0
        if ours:
            keep_freed_memory()

    def model(self, variant: Variant) -> nn.Module:
        sizes = self._store.frames.shape[1], len(self._corpus.speakers)
        torch.manual_seed(0)
        if self._ours:
            return SpeakerClassifier(_settings(variant).model, *sizes).to(variant.device)
        plain = PlainTransformer if variant.task == "task1_transformer" else PlainConformer
        return plain(*sizes, variant.dropout).to(variant.device)

    def steps(self, variant: Variant, count: int) -> dict[str, float]:
        """Run some steps; duration in seconds, and the part spent waiting for batches."""
        batches, step = self._trained(variant)
        waited = 0.0
        began = time.perf_counter()
        for _ in range(count):
            asked = time.perf_counter()
            features, labels = batches[self._steps]
            waited += time.perf_counter() - asked
            step(features, labels, self._steps, 1e-3)
            self._steps += 1
        _synchronize(variant.device)
        return {"seconds": time.perf_counter() - began, "waited": waited}

    def _train(self, variant: Variant) -> tuple[Any, Callable[..., None]]:
        """Batches and a step, warmed up."""
        model = self.model(variant).train()
        sizes = variant.batch_size, variant.crop_frames
        if self._ours:
            indices = range(len(self._store))
            batches = TrainingBatches(self._store, indices, self._labels, *sizes, 0, **_device(variant))
            step = _OurStep(model, _settings(variant))
        else:
            batches = PlainBatches(self._files, self._labels.tolist(), *sizes, variant.device)
            step = PlainStep(model, variant.precision)
        for step_number in range(WARM_UP):
            features, labels = batches[step_number]
            step(features, labels, step_number, 1e-3)
        _synchronize(variant.device)
        return batches, step

    def predict(self, variant: Variant, frames_per_batch: int) -> dict[str, float]:
        """Duration in seconds of predicting the speaker of every whole utterance."""
        model = self._untrained(variant)
        began = time.perf_counter()
        if self._ours:
            predict([model], self._store, range(len(self._store)), frames_per_batch)
        else:
            plain_predict(model, self._files, variant.device)
        return {"seconds": time.perf_counter() - began}

    def flops(self, variant: Variant) -> dict[str, float]:
        """FLOPs of the matrix products in a step, without depthwise convolutions, which the counter counts as full."""
        features, labels = PlainBatches(self._files, self._labels.tolist(), 2, variant.crop_frames, "cpu")[0]
        # With dropout, since the counter does not know fused attention on a CPU.
        model = self.model(replace(variant, dropout=0.1)).cpu().train()
        with FlopCounterMode(display=False) as counter:
            PlainStep(model, "float32")(features, labels)
        counts = counter.get_flop_counts()["Global"]
        products = sum(count for operation, count in counts.items() if "convolution" not in str(operation))
        return {"flops": products / 2 * variant.batch_size}

    def ceiling(self, variant: Variant) -> dict[str, float]:
        """FLOP/s of a large matrix product, the best of several."""
        size, best = 128, 0.0
        while best < LONG_ENOUGH and size < LARGEST[variant.device]:
            size *= 2
            a = torch.randn(size, size, device=variant.device, dtype=getattr(torch, variant.precision))
            best = min(_seconds_of_product(a) for _ in range(4))
        return {"flops_a_second": 2 * size**3 / best}

    def profile(self, variant: Variant) -> dict[str, float]:
        """Milliseconds per step of the five slowest operations, without those that they call."""
        batches, step = self._trained(variant)
        on_gpu = variant.device == "cuda"
        activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * on_gpu
        with profile(activities=activities) as profiler:
            for step_number in range(WARM_UP):
                step(*batches[step_number], step_number, 1e-3)
            _synchronize(variant.device)
        field = "self_device_time_total" if on_gpu else "self_cpu_time_total"
        times = {event.key: getattr(event, field) / 1e3 / WARM_UP for event in profiler.key_averages()}
        return dict(sorted(times.items(), key=lambda item: -item[1])[:5])


class _OurStep:
    """The trainer's step, with the moving average if the settings have one."""

    def __init__(self, model: nn.Module, settings: Config) -> None:
        self._learn = TrainingStep(model, settings.train)
        self._average = MovingAverage(model, settings.train.ema) if settings.train.ema else None

    def __call__(self, features: torch.Tensor, labels: torch.Tensor, step: int, learning_rate: float) -> None:
        self._learn(features, labels, step, learning_rate)
        if self._average:
            self._average.update(step)


def _settings(variant: Variant) -> Config:
    """Settings of the variant's config in this revision, without channel augmentation if it knows any."""
    config = load_config(CONFIGS / f"{variant.task}.yaml")
    overrides = [
        f"model.encoder.dropout={variant.dropout}",
        f"train.precision={variant.precision}",
        f"train.batch_size={variant.batch_size}",
        f"train.crop_frames={variant.crop_frames}",
        *["train.channel_augment={}"] * hasattr(config.train, "channel_augment"),
    ]
    return load_config(CONFIGS / f"{variant.task}.yaml", overrides)


def _device(variant: Variant) -> dict[str, Any]:
    return {} if variant.device == "cpu" else {"device": variant.device}  # earlier revisions have no such argument


def _seconds_of_product(a: torch.Tensor) -> float:
    began = time.perf_counter()
    torch.mm(a, a)
    _synchronize(a.device.type)
    return time.perf_counter() - began


def _synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def ask(what: str, variant: Variant, **more: int) -> str:
    """Request as one line of JSON."""
    return json.dumps({"what": what, "variant": asdict(variant), **more})


def main() -> None:
    contestant = Contestant(sys.argv[1] == "ours", Path(sys.argv[2]))
    for line in sys.stdin:
        request = json.loads(line)
        answer = getattr(contestant, request.pop("what"))(Variant(**request.pop("variant")), **request)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
