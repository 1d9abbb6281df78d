"""Measure the time from the command to the first training step, with a corpus of HW4's size."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from torch import Tensor

from speakerid.cli import run
from speakerid.training.step import TrainingStep

from .measuring import middle
from .memory import SIZES, write_random_corpus

RESEARCH = Path(__file__).resolve().parents[1]
CONFIG = RESEARCH.parents[1] / "configs" / "task2_conformer.yaml"


def benchmark(rounds: int) -> str:
    """Median times; each start is a new process, with the files in the system's cache."""
    with tempfile.TemporaryDirectory() as folder:
        write_random_corpus(Path(folder, "corpus"), SIZES[-1])
        starts = [_start(folder) for _ in range(rounds)]
    before, after = zip(*starts, strict=True)
    return "\n".join(
        f"{title} the first step: median {middle(seconds, 's')}"
        for title, seconds in (("to", before), ("through", after))
    )


def _start(folder: str) -> tuple[float, float]:
    with tempfile.TemporaryDirectory(dir=folder) as run_dir:
        command = [sys.executable, "-m", "benchmarks.starting", f"{folder}/corpus", f"{run_dir}/run"]
        environment = os.environ | {"PYTHONPATH": str(RESEARCH)}
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    before, after = done.stdout.split()[-2:]
    return float(before), float(after)


def _seconds_since_start() -> float:
    """Seconds since this process started, from /proc."""
    started = int(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19]) / os.sysconf("SC_CLK_TCK")
    return float(Path("/proc/uptime").read_text().split()[0]) - started


def _train(root: str, run_dir: str) -> None:
    step = TrainingStep.__call__

    def first_step(self: TrainingStep, features: Tensor, labels: Tensor, step_number: int, rate: float) -> None:
        before = _seconds_since_start()
        step(self, features, labels, step_number, rate)
        print(before, _seconds_since_start(), flush=True)
        os._exit(0)

    TrainingStep.__call__ = first_step  # pyright: ignore[reportAttributeAccessIssue]
    run(["train", "--config", str(CONFIG), "--quiet", f"data.root={root}", f"run_dir={run_dir}"])


if __name__ == "__main__":
    _train(*sys.argv[1:])
