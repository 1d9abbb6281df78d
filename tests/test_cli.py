"""The command line as users see it."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

import speakerid
from experiments import answer, small_config, write_easy_corpus
from processes import FORKS, become
from run_folders import trained, validated, write_run
from speakerid.cli import COMMANDS as COMMANDS_BY_NAME
from speakerid.cli import GROUPS, build_parser, exit_with
from speakerid.training.checkpoint import Checkpoint

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = ["train", "runs", "average", "infer", "prepare", "evaluate", "check", "synthesize", "serve"]


def write_config(path: Path, corpus: Path, run_dir: Path, **train: object) -> Path:
    path.write_text(yaml.safe_dump(small_config(corpus, run_dir, **train).model_dump(mode="json")))
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_help_describes_the_command_quickly(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        build_parser().parse_args([command, "--help"])
    assert exit.value.code == 0
    assert len(capsys.readouterr().out) > 400


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_a_script(command: str) -> None:
    assert f'main("{command}")' in (ROOT / "scripts" / f"{command}.py").read_text()


def test_every_script_has_help() -> None:
    for script in sorted((ROOT / "scripts").glob("*.py")):
        done = subprocess.run([sys.executable, str(script), "--help"], capture_output=True, text=True)
        assert done.returncode == 0, script
        assert len(done.stdout) > 400, script


def test_the_former_spelling_of_a_command_works() -> None:
    options = build_parser().parse_args(["synthesise", "demo", "--speakers", "3"])
    assert options.action is COMMANDS_BY_NAME["synthesize"].run
    assert options.speakers == 3


def test_help_lists_every_command_by_group(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["--help"])
    lines = capsys.readouterr().out.splitlines()
    for group, commands in GROUPS.items():
        start = lines.index(f"{group}:")
        listed = [line.split()[0] for line in lines[start + 1 : lines.index("", start)] if line[2] != " "]
        assert listed == list(commands)


def test_the_version_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"speakerid {speakerid.__version__}\n"


def test_a_shipped_config_trains_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert answer(monkeypatch, "configs") == 0
    assert re.search(r"^few_minutes +A Conformer", capsys.readouterr().out, re.MULTILINE)
    corpus = write_easy_corpus(tmp_path / "corpus")
    sizes = ["train.total_steps=2", "train.warmup_steps=1", "train.batch_size=4", "train.crop_frames=16", "device=cpu"]
    settings = [f"data.root={corpus}", f"run_dir={tmp_path}/run", *sizes]
    assert answer(monkeypatch, "train", "course_sample", *settings, "--quiet") == 0
    assert (tmp_path / "run" / "best.pt").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on the address space is enforced by Linux")
@pytest.mark.parametrize("megabytes", [200, 300])  # first SciPy, then PyTorch cannot be imported
def test_too_little_address_space_gives_one_line(megabytes: int, tmp_path: Path) -> None:
    code = (
        "import resource; from speakerid.cli import main; "
        f"resource.setrlimit(resource.RLIMIT_AS, ({megabytes} << 20,) * 2); main('prepare')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), str(tmp_path / "corpus")],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert "free memory, or raise the limits on address space" in done.stderr


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried …"),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("can't start new thread"),
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
    ],
)
def test_lack_of_memory_gives_one_line(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    def action() -> int:
        raise error

    with pytest.raises(SystemExit) as end:
        exit_with(action)
    assert end.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_other_errors_keep_their_traceback() -> None:
    def action() -> int:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        exit_with(action)


def test_from_corpus_to_submission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = write_easy_corpus(tmp_path / "corpus")
    config = write_config(tmp_path / "config.yaml", corpus, tmp_path / "run")
    assert answer(monkeypatch, "check", str(corpus)) == 0
    assert "valid; 3 speakers, 24 labelled and 7 test utterances" in capsys.readouterr().out
    assert answer(monkeypatch, "train", "--config", str(config), "train.total_steps=6", f"run_dir={tmp_path}/a") == 0
    best = tmp_path / "a" / "best.pt"
    assert Checkpoint.load(tmp_path / "a" / "last.pt").step == 6
    output = tmp_path / "out.csv"
    arguments = ["--checkpoint", str(best), "--data", str(corpus), "--output", str(output)]
    assert answer(monkeypatch, "infer", *arguments) == 0
    assert len(output.read_text().splitlines()) == 8
    crops = ["--crops", "3", "--crop-frames", "25"]
    assert answer(monkeypatch, "infer", *arguments, *crops) == 0
    assert answer(monkeypatch, "evaluate", "--checkpoint", str(best), "--seconds", "0.1", "--part", "test", *crops) == 0
    assert re.search(r"whole +\d\.\d{4} +\d\.\d{4} +\d\.\d{4}", capsys.readouterr().out)


def test_settings_written_by_hand_are_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus, run_dir = write_easy_corpus(tmp_path / "corpus"), tmp_path / "run"
    run_dir.mkdir()
    config = write_config(run_dir / "config.yaml", corpus, run_dir, total_steps=3, valid_steps=3)
    mine = "# a note\n" + config.read_text()
    config.write_text(mine)
    assert answer(monkeypatch, "train", "--config", str(config)) == 2
    assert f"{config}: found a text that begins with '# a note'" in capsys.readouterr().err
    assert config.read_text() == mine
    (tmp_path / "mine.yaml").write_text(mine)
    config.unlink()
    assert answer(monkeypatch, "train", "--config", str(tmp_path / "mine.yaml")) == 0
    for path in run_dir.iterdir():  # as if it was interrupted before its first checkpoint
        if path.is_file() and path != config:
            path.unlink()
    shutil.rmtree(run_dir / "checkpoints")
    assert answer(monkeypatch, "train", "--config", str(config), "--auto-resume") == 0


def test_runs_are_listed_and_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    worse = write_run(tmp_path / "runs" / "worse", trained(2), validated(2, 0.4))
    better = write_run(tmp_path / "runs" / "better", trained(2), validated(2, 0.6))
    (better / "config.yaml").write_text("torn: [")
    plot = tmp_path / "plot.svg"
    assert answer(monkeypatch, "runs", str(tmp_path / "runs"), "--plot", str(plot)) == 0
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()[:3]] == ["run", "better", "worse"]
    assert f"resume with: speakerid train --config {worse}/config.yaml --resume\n" in out
    assert f"{better}/config.yaml: not valid YAML" in out
    assert out.endswith(f"Plot: {plot}\n")
    assert err == ""
    assert answer(monkeypatch, "runs", str(tmp_path / "runs"), "worse", "--json", "--plot", str(plot)) == 0
    assert [json.loads(line)["name"] for line in capsys.readouterr().out.splitlines()] == ["worse"]
    assert "worse" in plot.read_text()
    assert "better" not in plot.read_text()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["train", "--config", "none.yaml"], "none.yaml: cannot be read"),
        (["train", "few_minuets"], "few_minuets: no such file; expected one, or a name of branchformer, course_sample"),
        (["train", "seed=3"], "train: no settings file; expected a path or a name that `speakerid configs` lists"),
        (["train", "--config", "CONFIG", "model.d_modle=96"], "did you mean 'd_model'?"),
        (
            ["train", "--config", "CONFIG", "data.root=nowhere"],
            "nowhere: no such folder; expected a corpus: what `speakerid prepare RECORDINGS FOLDER` writes",
        ),
        (
            ["infer", "--checkpoint", "no.pt", "--data", "x", "--output", "y.csv"],
            "no.pt: no such checkpoint",
        ),
        (
            ["infer", "--checkpoint", "no.pt", "--data", "x", "--output", "y.csv", "--crops", "3"],
            "--crops: found without --crop-frames; expected both, such as --crops 5 --crop-frames 300",
        ),
        (
            ["evaluate", "--checkpoint", "no.pt", "--crop-frames", "30"],
            "--crop-frames: found without --crops; expected both",
        ),
        (["runs", "nowhere"], "nowhere: no such folder; expected one that holds runs"),
        (["runs", "."], ".: contains no run, that is, no folder with metrics.jsonl"),
        (["check", "nowhere"], "nowhere: no such folder"),
        (["prepare", "nowhere", "out"], "nowhere: no such folder or table; expected SPEAKER/anything.wav"),
    ],
    ids=lambda value: " ".join(value[:1]) if isinstance(value, list) else "",
)
def test_mistakes_give_one_line_and_status_2(
    arguments: list[str],
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = write_config(tmp_path / "config.yaml", tmp_path / "corpus", tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    assert answer(monkeypatch, *[str(config) if word == "CONFIG" else word for word in arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert expected in error
    assert error.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.yaml"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_saves_and_prints_how_to_continue(number: signal.Signals, tmp_path: Path) -> None:
    """In a separate process, at an arbitrary step."""
    corpus = write_easy_corpus(tmp_path / "corpus")
    config = write_config(tmp_path / "config.yaml", corpus, tmp_path / "run", total_steps=100_000, valid_steps=100_000)
    script, out, err = ROOT / "scripts" / "train.py", tmp_path / "out", tmp_path / "err"
    process = FORKS.Process(target=become, args=(script, ["--config", str(config)], str(out), str(err)))
    process.start()
    while not (tmp_path / "run" / "last.pt").exists():
        time.sleep(0.05)
        assert process.is_alive()
    assert process.pid is not None
    os.kill(process.pid, number)
    process.join()
    assert process.exitcode == {signal.SIGINT: 130, signal.SIGTERM: 75}[number]
    assert "Traceback" not in err.read_text()
    stopped = Checkpoint.load(tmp_path / "run" / "last.pt").step
    assert f"Continue with: python {script} --config {config} --resume" in out.read_text()
    metrics = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert len(metrics) == stopped // 2
