"""Benchmarks that need no recordings run, in sizes too small for meaningful figures."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments import answer_of_script
from processes import FORKS
from speakerid.audio.decode import write_wav

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "research" / "benchmark.py"
TINY = ["--rounds", "1", "--steps", "1", "--utterances", "2", "--batch-size", "2", "--crop-frames", "8"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True)


@pytest.mark.parametrize(
    "command", [[], ["prepare"], ["open"], ["train"], ["start"], ["accuracy"], ["identify"]], ids=" ".join
)
def test_help_says_what_is_measured(command: list[str]) -> None:
    answer = run(*command, "--help")
    assert answer.returncode == 0
    assert "usage" in answer.stdout


@pytest.mark.nightly
def test_train_measures_every_variant_and_names_the_slowest_operations() -> None:
    answer = run("train", *TINY, "--profile")
    assert answer.returncode == 0, answer.stderr
    for task in ("Task 1", "Task 2"):
        for variant in ("float32, dropout 0.1", "float32, dropout 0", "bfloat16, dropout 0.1", "bfloat16, dropout 0"):
            (row,) = re.findall(rf"^\| {task}, {variant}, cpu .*$", answer.stdout, re.MULTILINE)
            ours, plain, ratio, *_ = [cell.strip() for cell in row.split("|")[2:]]
            assert min(float(ours), float(plain)) > 0
            assert re.fullmatch(r"[\d.]+ \([\d.]+ to [\d.]+\)", ratio)
        assert re.search(rf"^\| {task}, float32, cpu ", answer.stdout, re.MULTILINE), "no line of inference"
    assert answer.stdout.count("slowest operations") == 8
    assert "aten::addmm" in answer.stdout


def test_an_unknown_revision_is_answered_by_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert answer_of_script(monkeypatch, SCRIPT, "train", *TINY, "--against", "no-such-revision") == 2
    error = capsys.readouterr().err
    assert len(error.strip().splitlines()) == 1
    assert "no-such-revision" in error


@pytest.mark.nightly
def test_train_measures_few_minutes_of_both_revisions() -> None:
    answer = run("train", *TINY, "--threads", "1", "--against", "HEAD")
    assert answer.returncode == 0, answer.stderr
    assert " 1 thread," in answer.stdout
    for precision in ("float32", "bfloat16"):
        rows = re.findall(rf"^\| training \| `few_minutes`, {precision}, dropout 0, cpu \|.*$", answer.stdout, re.M)
        assert len(rows) == 1
    assert answer.stdout.count("`few_minutes`") == 3, "a row in a table of plain ratios"


@pytest.mark.nightly
def test_start_measures_both_revisions_beside_torch() -> None:
    answer = run("start", "--rounds", "1", "--utterances", "1300", "--against", "HEAD")
    assert answer.returncode == 0, answer.stderr
    rows = {cells[1].strip(): cells[3].strip() for line in answer.stdout.splitlines()[2:] if (cells := line.split("|"))}
    assert list(rows) == [
        "`import torch`", "to the first step", "through the first step",
        "to the first step, HEAD", "through the first step, HEAD",
    ]  # fmt: skip
    assert float(rows["to the first step"].split()[0]) > 0  # a load beside it may slow down either


@pytest.mark.nightly
def test_identify_measures_ours_and_start_ups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmarks.measuring.SPAWN", FORKS)  # each of the nine would import torch
    rng = np.random.default_rng(0)
    write_wav(tmp_path / "a.wav", rng.normal(0, 0.1, 100_000).astype(np.float32), 16_000)
    few = ["--rounds", 1, "--clips", 3, "--others", 2]
    assert answer_of_script(monkeypatch, SCRIPT, "identify", "nothing", tmp_path, *few) == 0
    printed = capsys.readouterr().out
    rows = {cells[1].strip(): cells[2].strip() for line in printed.splitlines() if (cells := line.split("|"))[1:]}
    for name in ("identify_many", "identify, file by file", "decoding alone"):
        assert float(rows[name]) > 0
    for name in ("`speakerid identify` of one file, from nothing", "one among 100,000 speakers"):
        assert re.fullmatch(r"[\d.]+ m?s \([\d.]+ to [\d.]+\)", rows[name])
