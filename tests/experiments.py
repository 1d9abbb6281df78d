"""Runs small enough for a test: eight bands and three speakers who are easy to distinguish."""

import json
import os
import runpy
import signal
import sys
from collections.abc import Callable
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

from speakerid.cli import main
from speakerid.config import Config, FeatureConfig, parse
from speakerid.corpus import feature_file, hw4
from speakerid.corpus.utterances import Corpus, Utterance, Utterances
from speakerid.training.batches import TrainingBatches
from speakerid.training.checkpoint import Checkpoint

N_MELS = 8
SPEAKERS = ("anna", "ben", "cleo")
CLOCK = ("steps_per_second", "data_wait", "seconds")


def write_easy_corpus(root: Path, speakers: tuple[str, ...] = SPEAKERS, n_mels: int = N_MELS, tests: int = 7) -> Path:
    """Eight utterances a speaker, each around the speaker's own spectrum, of 20 to 60 frames, and test utterances."""
    root.mkdir(parents=True)
    generator = torch.Generator().manual_seed(1)
    spectra = 3 * torch.randn(len(speakers), n_mels, generator=generator)
    labelled: list[Utterance] = []

    def write(name: str, speaker: int) -> Utterance:
        length = int(torch.randint(20, 60, (1,), generator=generator))
        frames = spectra[speaker] + torch.randn(length, n_mels, generator=generator)
        feature_file.save(root / name, frames)
        return Utterance(name, length, speakers[speaker])

    for index, speaker in enumerate(speakers):
        labelled += [write(f"uttr-{speaker}{n}.pt", index) for n in range(8)]
    test = [write(f"uttr-test{n}.pt", n % len(speakers)) for n in range(tests)]
    features = FeatureConfig(n_mels=n_mels)
    hw4.write(root, Corpus(root, features, speakers, Utterances.of(labelled, speakers), Utterances.of(test, speakers)))
    return root


def write_hard_corpus(root: Path, tests: int = 31) -> Path:
    """The same with noise for test utterances, so that the scores change with every frame."""
    write_easy_corpus(root, tests=tests)
    generator = torch.Generator().manual_seed(2)
    for path in sorted(root.glob("uttr-test*.pt")):
        feature_file.save(path, 3 * torch.randn(torch.load(path).shape, generator=generator))
    return root


def metrics(path: Path) -> list[dict[str, Any]]:
    """Lines of metrics.jsonl without timings, which differ between runs."""
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return [{name: value for name, value in r.items() if name not in CLOCK} for r in records]


def small_config(corpus: Path, run_dir: Path, **train: object) -> Config:
    """A Conformer with dropout, twelve steps, three validations."""
    settings = {
        "run_dir": run_dir,
        "device": "cpu",
        "data": {"root": corpus, "valid_fraction": 0.25},
        "model": {
            "d_model": 8,
            "encoder": {"kind": "conformer", "num_layers": 1, "dim_feedforward": 16, "kernel_size": 3},
        },
        "train": {
            "total_steps": 12, "warmup_steps": 2, "valid_steps": 4, "save_steps": 3, "log_steps": 2,
            "batch_size": 6, "crop_frames": 16, "learning_rate": 0.01, **train,
        },
    }  # fmt: skip
    return parse(Config, settings, "test")


def write_config(path: Path, config: Config) -> Path:
    """The YAML file of an experiment."""
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")), encoding="utf-8")
    return path


def assert_same(found: Any, expected: Any, where: str) -> None:
    """Equal all the way down, tensors bit for bit."""
    if isinstance(expected, Tensor):
        assert torch.equal(found, expected), where
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for key in expected:
            assert_same(found[key], expected[key], f"{where}.{key}")
    elif is_dataclass(expected):
        assert_same(vars(found), vars(expected), where)
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected), where
        for index, (a, b) in enumerate(zip(found, expected, strict=True)):
            assert_same(a, b, f"{where}[{index}]")
    else:
        assert found == expected, where


def assert_same_run(found: Path, expected: Path) -> None:
    """Check that two run folders hold the same run, except for timings and the name of the folder."""
    for name in ("best.pt", "last.pt"):
        a, b = (vars(Checkpoint.load(folder / name)) for folder in (found, expected))
        assert_same({**a, "config": None}, {**b, "config": None}, name)
    assert metrics(found / "metrics.jsonl") == metrics(expected / "metrics.jsonl")


def answer(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Run a command in this process and return its exit status."""
    monkeypatch.setattr(sys, "argv", ["speakerid", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit:
        main()
    assert isinstance(exit.value.code, int)
    return exit.value.code


def answer_of_script(monkeypatch: pytest.MonkeyPatch, script: Path, *arguments: object) -> int:
    """Run a script in this process, since importing torch in another takes seconds; returns its exit status."""
    monkeypatch.setattr(sys, "argv", [str(script), *map(str, arguments)])
    with pytest.raises(SystemExit) as exit:
        runpy.run_path(str(script), run_name="__main__")
    assert isinstance(exit.value.code, int)
    return exit.value.code


def at_step(monkeypatch: pytest.MonkeyPatch, step: int, action: Callable[[], object]) -> None:
    """Call a function while the batch of a step is fetched."""
    fetch = TrainingBatches.__getitem__

    def fetch_and_act(self: TrainingBatches, k: int) -> tuple[Tensor, Tensor]:
        if k == step:
            action()
        return fetch(self, k)

    monkeypatch.setattr(TrainingBatches, "__getitem__", fetch_and_act)


def interrupt() -> None:
    """Send SIGINT, as Ctrl-C does."""
    os.kill(os.getpid(), signal.SIGINT)


class Bomb:
    """An object whose pickle creates a folder if reading it executes code."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.marker),)
