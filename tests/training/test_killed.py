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
KILLS, RUNS = 60, 3
"""Number of kills at random moments; a run may end before it was killed that often."""


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


@pytest.mark.slow
def test_killed_before_every_call_that_changes_a_file(corpus: Path, tmp_path: Path) -> None:
    config = small_config(corpus, tmp_path / "whole", total_steps=2, warmup_steps=1, valid_steps=1, keep_last=1)
    folders = [tmp_path / f"killed{number}" for number in range(1, EVERYWHERE)]
    plan = [{"run_dir": str(folder), "kills": [{"call": number}]} for number, folder in enumerate(folders, 1)]
    ends = lives(write_config(tmp_path / "config.yaml", config), plan)
    killed = sum(len(end) > 1 for end in ends)
    assert 30 < killed < len(ends)
    assert all(end[-1] == 0 for end in ends)
    for folder in folders[: killed + 1]:
        assert_same_run(folder, tmp_path / "whole")


@pytest.mark.slow
def test_killed_at_random_moments(corpus: Path, tmp_path: Path) -> None:
    config = small_config(
        corpus, tmp_path / "whole", total_steps=200, valid_steps=20, save_steps=10, log_steps=5, learning_rate=0.001
    )
    rng = np.random.default_rng(0)
    folders = [tmp_path / f"killed{number}" for number in range(RUNS)]
    plan = [{"run_dir": str(folder), "kills": [random_kill(rng) for _ in range(KILLS)]} for folder in folders]
    ends = lives(write_config(tmp_path / "config.yaml", config), plan)
    assert all(end[-1] == 0 for end in ends)
    died_at = Counter(phase for end in ends for phase in end[:-1])
    assert died_at.total() >= KILLS, died_at
    assert min(died_at[phase] for phase in ("step", "save", "validate")) >= 5, died_at
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
