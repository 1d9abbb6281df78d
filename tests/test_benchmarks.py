"""The benchmarks that need no recordings run, in sizes so small that their figures mean nothing."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "benchmark.py"
TINY = ["--rounds", "1", "--steps", "1", "--utterances", "2", "--batch-size", "2", "--crop-frames", "8"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True)


@pytest.mark.parametrize("command", [[], ["prepare"], ["open"], ["train"]], ids=" ".join)
def test_help_says_what_is_measured(command: list[str]) -> None:
    answer = run(*command, "--help")
    assert answer.returncode == 0
    assert "usage" in answer.stdout


@pytest.mark.slow
def test_train_measures_every_variant_and_names_the_costliest_operations() -> None:
    answer = run("train", *TINY, "--profile")
    assert answer.returncode == 0, answer.stderr
    for task in ("Task 1", "Task 2"):
        for variant in ("float32, dropout 0.1", "float32, dropout 0", "bfloat16, dropout 0.1", "bfloat16, dropout 0"):
            (row,) = re.findall(rf"^\| {task}, {variant}, cpu .*$", answer.stdout, re.MULTILINE)
            ours, plain, ratio, *_ = [cell.strip() for cell in row.split("|")[2:]]
            assert min(float(ours), float(plain)) > 0
            assert re.fullmatch(r"[\d.]+ \([\d.]+ to [\d.]+\)", ratio)
        assert re.search(rf"^\| {task}, float32, cpu ", answer.stdout, re.MULTILINE), "no line of inference"
    assert answer.stdout.count("costliest operations") == 8
    assert "aten::addmm" in answer.stdout


def test_an_unknown_revision_is_answered_by_one_line() -> None:
    answer = run("train", *TINY, "--against", "no-such-revision")
    assert answer.returncode == 2
    assert len(answer.stderr.strip().splitlines()) == 1
    assert "no-such-revision" in answer.stderr
