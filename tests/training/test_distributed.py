"""Several processes are one run: the same losses, one set of files, one outcome. With gloo, on one machine."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments import answer_of_script, assert_same, at_step, metrics, small_config, write_easy_corpus
from processes import torchrun
from speakerid.config import Config, load_config
from speakerid.training.averaging import average_checkpoints
from speakerid.training.checkpoint import Checkpoint
from speakerid.training.run import train

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
STEPS = 200


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Conformer without dropout in float64; the batch of 6 is shared unevenly by 4."""
    folder = tmp_path_factory.mktemp("shared")
    steps = {"total_steps": STEPS, "valid_steps": 50, "save_steps": 20, "log_steps": 10, "optimizer": "muon"}
    config = small_config(write_easy_corpus(folder / "corpus"), folder / "run", precision="float64", **steps)
    content = config.model_dump(mode="json")
    content["model"]["encoder"]["dropout"] = 0.0
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope="module")
def alone(settings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(load(settings, tmp_path_factory.mktemp("alone") / "run")).run.path


def load(settings: Path, run: Path) -> Config:
    return load_config(settings, [f"run_dir={run}"])


def shared_run(
    processes: int, accident: str, settings: Path, run: Path, *more: str, restarts: int = 0
) -> "subprocess.CompletedProcess[str]":
    arguments = [*accident.split(), "--config", str(settings), f"run_dir={run}", *more]
    return torchrun(processes, HERE / "accident.py", *arguments, restarts=restarts)


def assert_same_run(run: Path, expected: Path) -> None:
    """The same lines in the log, to 1e-5; the same weights, to 1e-5."""
    found, wanted = (metrics(path / "metrics.jsonl") for path in (run, expected))
    assert [(r["step"], r["part"]) for r in found] == [(r["step"], r["part"]) for r in wanted]
    for a, b in zip(found, wanted, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], abs=1e-5)
        assert a["accuracy"] == b["accuracy"]
    weights: list[dict[str, Any]] = [Checkpoint.load(path / "last.pt").model for path in (run, expected)]
    for name, value in weights[0].items():
        assert (value - weights[1][name]).abs().max() < 1e-5, name


@pytest.mark.nightly
def test_four_processes_are_one_run_with_one_set_of_lines(settings: Path, alone: Path, tmp_path: Path) -> None:
    done = shared_run(4, "none 0 0", settings, tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert_same_run(tmp_path / "run", alone)
    assert done.stdout.count("The parameter size of encoder block is") == 1
    assert done.stdout.count("Best validation accuracy") == 1
    assert done.stderr.count(f"step={STEPS}") == 1


@pytest.mark.nightly
def test_several_processes_refit_the_classifier_alike(settings: Path, tmp_path: Path) -> None:
    short = ["train.total_steps=10", "train.warmup_steps=1", "train.valid_steps=5", "train.refit_classifier=true"]
    done = shared_run(3, "none 0 0", settings, tmp_path / "run", *short)
    assert done.returncode == 0, done.stderr
    assert_same_run(tmp_path / "run", train(load_config(settings, [f"run_dir={tmp_path / 'alone'}", *short])).run.path)


@pytest.mark.nightly
def test_four_processes_start_and_one_resumes(settings: Path, alone: Path, tmp_path: Path) -> None:
    """The signal reaches the third process only, and all of them stop after the same step."""
    done = shared_run(4, "signal 2 36", settings, tmp_path / "run")
    assert done.returncode != 0
    assert "Continue with:" in done.stdout
    assert Checkpoint.load(tmp_path / "run" / "last.pt").step == 37
    train(load(settings, tmp_path / "run"), resume=True)
    assert_same_run(tmp_path / "run", alone)


def test_one_process_starts_and_two_resume_though_one_is_killed(settings: Path, alone: Path, tmp_path: Path) -> None:
    """torchrun restarts both, and they resume from the last checkpoint."""
    with pytest.MonkeyPatch.context() as patch:
        at_step(patch, 20, lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert train(load(settings, tmp_path / "run")).stopped_by == signal.SIGTERM
    done = shared_run(2, "kill 1 65", settings, tmp_path / "run", "--auto-resume", restarts=1)
    assert done.returncode == 0, done.stderr
    assert "after step 21" in done.stdout
    assert "after step 60" in done.stdout
    assert_same_run(tmp_path / "run", alone)


def test_an_error_of_one_process_ends_all_with_its_message(settings: Path, tmp_path: Path) -> None:
    done = shared_run(2, "fail 1 5", settings, tmp_path / "run")
    assert done.returncode != 0
    assert done.stderr.count("error: rank 1: anna.pt: the disk is gone") == 1
    assert "another process of the run has ended" not in done.stderr


@pytest.mark.nightly
def test_an_error_of_all_processes_is_printed_once(settings: Path, tmp_path: Path) -> None:
    done = shared_run(2, "none 0 0", settings, tmp_path / "run", "train.batch_size=1", "model.classifier=linear")
    assert done.returncode != 0
    assert done.stderr.count("error: ") == 1
    assert "train.batch_size: found 1, expected at least 2" in done.stderr


@pytest.mark.nightly
def test_two_processes_start_from_weights_that_rank_0_reads(settings: Path, alone: Path, tmp_path: Path) -> None:
    begun = train(load_config(settings, [f"run_dir={tmp_path / 'one'}", f"init_from={alone / 'best.pt'}"])).run.path
    done = shared_run(2, "none 0 0", settings, tmp_path / "two", f"init_from={alone / 'best.pt'}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f"Taken from {alone / 'best.pt'} (step ") == 1
    assert_same_run(tmp_path / "two", begun)


@pytest.mark.nightly
def test_a_missing_init_from_is_reported_once(settings: Path, tmp_path: Path) -> None:
    done = shared_run(2, "none 0 0", settings, tmp_path / "run", f"init_from={tmp_path / 'none.pt'}")
    assert done.returncode != 0
    assert done.stderr.count("error: ") == 1
    assert f"error: init_from: {tmp_path / 'none.pt'}: no such checkpoint" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.nightly
def test_inference_is_shared_too(settings: Path, alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command itself, once."""
    arguments = ["--checkpoint", str(alone / "best.pt"), "--data", str(load(settings, alone).data.root)]
    arguments += ["--crops", "3", "--crop-frames", "25"]
    script = ROOT / "scripts" / "infer.py"
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*launcher, str(script), *arguments, "--output", str(tmp_path / "two.csv"), "--frames-per-batch", "60"],
        capture_output=True, text=True, timeout=200, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert answer_of_script(monkeypatch, script, *arguments, "--output", tmp_path / "one.csv") == 0
    assert (tmp_path / "two.csv").read_bytes() == (tmp_path / "one.csv").read_bytes()
    assert done.stdout.count("rows") == 1


@pytest.mark.nightly
def test_averaging_is_shared_too(alone: Path, tmp_path: Path) -> None:
    mean, best = average_checkpoints(alone, tmp_path / "one.pt")
    done = torchrun(2, ROOT / "scripts" / "average.py", str(alone), "--output", str(tmp_path / "two.pt"))
    assert done.returncode == 0, done.stderr
    for found in (mean, best):
        assert done.stdout.count(f"{found.figures['accuracy']:>10.4f}{found.figures['macro_accuracy']:>10.4f}") >= 1
    one, two = (vars(Checkpoint.load(tmp_path / name)) for name in ("one.pt", "two.pt"))
    assert_same(one, two, "mean")
