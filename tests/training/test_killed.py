"""A run killed by SIGKILL and restarted equals the uninterrupted run bit for bit, on a CPU."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments import assert_same_run, small_config, write_config, write_easy_corpus
from speakerid.corpus.check import open_corpus

KILLING = Path(__file__).resolve().parents[1] / "killing.py"
EVERYWHERE = 80
"""More calls than the short run makes to change files."""


def lives(config: Path, plan: list[dict[str, Any]]) -> list[list[str | int]]:
    """For each run of the plan, where each of its processes died, or its exit status."""
    lines = "".join(json.dumps(run) + "\n" for run in plan)
    done = subprocess.run([sys.executable, str(KILLING), str(config)], input=lines, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    corpus = write_easy_corpus(tmp_path_factory.mktemp("killed") / "corpus")
    open_corpus(corpus)  # packed here, once
    return corpus


@pytest.mark.parametrize("every", [6, pytest.param(1, marks=pytest.mark.nightly)])
def test_killed_before_every_call_that_changes_a_file(corpus: Path, tmp_path: Path, every: int) -> None:
    """Every sixth call today, every call nightly."""
    config = small_config(corpus, tmp_path / "whole", total_steps=2, warmup_steps=1, valid_steps=1, keep_last=1)
    calls = range(1, EVERYWHERE, every)
    folders = [tmp_path / f"killed{number}" for number in calls]
    plan = [{"run_dir": str(f), "kills": [{"call": number}]} for number, f in zip(calls, folders, strict=True)]
    ends = lives(write_config(tmp_path / "config.yaml", config), plan)
    killed = sum(len(end) > 1 for end in ends)
    assert 30 / every < killed < len(ends)
    assert all(end[-1] == 0 for end in ends)
    for folder in folders[: killed + 1]:
        assert_same_run(folder, tmp_path / "whole")


@pytest.mark.parametrize(("runs", "at_least"), [(1, 15), pytest.param(3, 60, marks=pytest.mark.nightly)])
def test_killed_at_random_moments(corpus: Path, tmp_path: Path, runs: int, at_least: int) -> None:
    """A run may end before it was killed as often as planned."""
    config = small_config(
        corpus, tmp_path / "whole", total_steps=200, valid_steps=20, save_steps=10, log_steps=5, learning_rate=0.001
    )
    rng = np.random.default_rng(0)
    folders = [tmp_path / f"killed{number}" for number in range(runs)]
    plan = [{"run_dir": str(folder), "kills": [random_kill(rng) for _ in range(60)]} for folder in folders]
    ends = lives(write_config(tmp_path / "config.yaml", config), plan)
    assert all(end[-1] == 0 for end in ends)
    died_at = Counter(phase for end in ends for phase in end[:-1])
    assert died_at.total() >= at_least, died_at
    assert min(died_at[phase] for phase in ("step", "save", "validate")) >= at_least // 12, died_at
    for folder in folders:
        assert_same_run(folder, tmp_path / "whole")


def random_kill(rng: np.random.Generator) -> dict[str, Any]:
    match rng.integers(3):
        case 0:
            return {"seconds": rng.uniform(0, 0.2)}
        case 1:
            return {"call": int(rng.integers(1, 60))}
        case _:
            return {"of": ["predict_batches"], "call": 1}
