"""Listing of the runs below a folder, in any state of their files."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from experiments import small_config, write_easy_corpus
from run_folders import TOTAL, read, rolled_back, trained, validated, write_run
from speakerid.base.errors import UserError
from speakerid.base.locks import file_lock
from speakerid.cli import build_parser
from speakerid.config import load_config
from speakerid.training.run import train
from speakerid.training.runs import best_first, find_runs, read_run
from speakerid.training.runs_table import json_line, listing


def test_a_run_of_the_trainer_is_read_as_it_was(tmp_path: Path) -> None:
    config = small_config(write_easy_corpus(tmp_path / "corpus"), tmp_path / "runs" / "a")
    result = train(config)
    ((path,), unreadable) = find_runs(tmp_path / "runs")
    run = read(path)
    assert unreadable == []
    assert (run.name, run.encoder, run.classifier) == ("a", "conformer", "batchnorm")
    assert (run.step, run.total_steps, run.best_accuracy) == (12, 12, result.best_accuracy)
    assert (run.state, run.resume, run.rollbacks, run.problems) == ("finished", None, 0, ())
    assert run.loss == result.run.read_log().train[-1].loss
    assert run.steps_per_second is not None
    assert run.age_seconds is not None
    assert 0 <= run.age_seconds < 300


def test_best_is_the_first_of_the_best_validations(tmp_path: Path) -> None:
    run = read(
        write_run(tmp_path / "a", validated(10, 0.6), validated(20, 0.9), validated(30, 0.9), validated(40, 0.7))
    )
    assert (run.best_accuracy, run.best_step) == (0.9, 20)
    nothing = read(write_run(tmp_path / "b", validated(10, float("nan"))))
    assert (nothing.best_accuracy, nothing.best_step) == (None, None)


def test_loss_and_speed_are_the_last_of_training(tmp_path: Path) -> None:
    lines = [trained(2, 3.0, steps_per_second=9.0), trained(4, 2.5, steps_per_second=11.5), validated(4)]
    run = read(write_run(tmp_path / "a", *lines))
    assert (run.loss, run.steps_per_second) == (2.5, 11.5)
    run = read(write_run(tmp_path / "b", trained(2, 3.0)))
    assert run.steps_per_second is None
    assert listing([run]).splitlines()[1].split()[6:8] == ["3.00", "–"]


def test_running_while_its_lock_is_held(tmp_path: Path) -> None:
    path = write_run(tmp_path / "a", trained(2))
    assert read(path).state == "stopped"
    assert not (path / ".lock").exists()
    with file_lock(path / ".lock"):
        assert read(path).state == "running"
        earlier = time.time() - 3_000
        os.utime(path / "metrics.jsonl", (earlier, earlier))
        run = read(path)
        assert (run.state, run.resume) == ("silent", None)
        assert "  50 min  " in listing([run])
    assert read(path).state == "stopped"
    with file_lock(path / ".lock"):  # reading has not kept the lock
        pass


def test_finished_is_validated_after_the_last_step(tmp_path: Path) -> None:
    killed = read(write_run(tmp_path / "killed", validated(20), trained(TOTAL)))
    assert (killed.step, killed.state) == (TOTAL, "stopped")
    assert read(write_run(tmp_path / "whole", trained(TOTAL), validated(TOTAL))).state == "finished"


def test_a_stopped_run_says_how_to_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = small_config(Path("corpus"), Path("runs/my first"))
    path = write_run(Path("runs/my first"), trained(6), **config.model_dump(mode="json", exclude={"train", "run_dir"}))
    run = read_run(str(path), "runs")
    assert run.resume == "speakerid train --config 'runs/my first/config.yaml' --resume"
    assert f"my first stopped at step 6; resume with: {run.resume}" in listing([run])


def test_a_moved_run_is_resumed_where_it_is(tmp_path: Path) -> None:
    config = small_config(tmp_path / "corpus", tmp_path / "a").model_dump(mode="json")
    path = write_run(tmp_path / "a", trained(6))
    (path / "config.yaml").write_text(yaml.safe_dump(config))
    path = path.rename(tmp_path / "b")
    resume = read(path).resume
    assert resume is not None
    options = build_parser().parse_args(["train", *shlex.split(resume)[2:]])
    assert options.resume
    assert load_config(options.config, options.overrides).run_dir == path


def test_without_a_checkpoint_there_is_nothing_to_resume(tmp_path: Path) -> None:
    path = write_run(tmp_path / "a", trained(2))
    (path / "last.pt").unlink()
    run = read(path)
    assert (run.state, run.resume) == ("stopped", None)
    assert "a stopped at step 2 without a checkpoint" in listing([run])
    (path / "checkpoints").mkdir()
    (path / "checkpoints" / "00000002.pt").touch()
    assert read(path).resume is not None


def test_a_diverged_run_is_distinguished_from_a_stopped_one(tmp_path: Path) -> None:
    given_up = {"step": 4, "part": "given up", "reason": "step 4: the loss or its gradient is not finite"}
    run = read(write_run(tmp_path / "run", trained(2), given_up))
    assert (run.state, run.step, run.resume) == ("diverged", 4, None)


def test_rollbacks_are_counted_and_what_they_undid_is_left_out(tmp_path: Path) -> None:
    lines = [
        trained(2, 3.0), validated(2, 0.3), trained(4, 9e9), validated(4, 0.9), rolled_back(2, 5),
        trained(4, 2.5), rolled_back(4, 5),
    ]  # fmt: skip
    run = read(write_run(tmp_path / "a", *lines))
    assert (run.rollbacks, run.step, run.loss, run.best_accuracy) == (2, 4, 2.5, 0.3)
    assert "stopped, 2 rollbacks" in listing([run])


def test_lines_of_another_version_are_ignored(tmp_path: Path) -> None:
    run = read(write_run(tmp_path / "a", trained(2), validated(4, 0.3), {"step": 0, "part": "note", "text": "future"}))
    assert (run.step, run.loss, run.best_accuracy, run.problems) == (4, 1.0, 0.3, ())


def test_a_lock_that_cannot_be_tried_costs_a_line(tmp_path: Path) -> None:
    path = write_run(tmp_path / "a", trained(2))
    (path / ".lock").mkdir()
    run = read(path)
    assert (run.step, run.state, run.resume) == (2, "unknown", None)
    assert run.problems == (f"{path / '.lock'}: cannot be read: Is a directory",)


def test_a_run_that_has_just_begun(tmp_path: Path) -> None:
    run = read(write_run(tmp_path / "a"))
    assert (run.step, run.loss, run.best_accuracy, run.state) == (0, None, None, "stopped")


def test_a_torn_last_line_is_normal_and_other_damage_is_reported(tmp_path: Path) -> None:
    path = write_run(tmp_path / "a", trained(2), trained(4))
    with (path / "metrics.jsonl").open("ab") as file:
        file.write(b'{"step": 6, "pa')
    assert (read(path).step, read(path).problems) == (4, ())
    with (path / "metrics.jsonl").open("ab") as file:
        file.write(b'\n\0\0\0\n[1]\n{"step": 8, "part": "valid", "accuracy": 0.5, "of": {"the": "future"}}\n')
    run = read(path)
    assert (run.step, run.best_step) == (8, 8)
    assert run.problems == (f"{path / 'metrics.jsonl'}: damaged lines left out: 3",)
    assert run.problems[0] in listing([run])


def test_a_config_of_another_version_is_read(tmp_path: Path) -> None:
    path = write_run(tmp_path / "a", trained(2), future={"setting": [1]}, seed="none")
    assert (read(path).encoder, read(path).total_steps, read(path).problems) == ("conformer", TOTAL, ())
    path = write_run(tmp_path / "b", trained(2), model="large", total="many")
    run = read(path)
    assert (run.encoder, run.classifier, run.total_steps, run.state) == (None, None, None, "unknown")
    assert "b/config.yaml: train.total_steps: " in listing([run])


@pytest.mark.parametrize(
    "content", ["model: {encoder: ", "- a list", "\0", None], ids=["torn", "list", "binary", "none"]
)
def test_a_config_that_cannot_be_read_costs_a_line(tmp_path: Path, content: str | None) -> None:
    path = write_run(tmp_path / "a", trained(2), validated(2, 0.7))
    (path / "config.yaml").unlink()
    if content is not None:
        (path / "config.yaml").write_text(content)
    run = read(path)
    assert (run.step, run.best_accuracy, run.state, run.resume) == (2, 0.7, "unknown", None)
    (problem,) = run.problems
    assert problem.startswith(f"{path / 'config.yaml'}: ")
    assert problem in listing([run])


def test_metrics_that_cannot_be_read_cost_a_line(tmp_path: Path) -> None:
    path = write_run(tmp_path / "a")
    (path / "metrics.jsonl").unlink()
    (path / "metrics.jsonl").symlink_to("nowhere")
    ((found,), _) = find_runs(tmp_path)
    run = read(found)
    assert (run.step, run.age_seconds, run.state) == (None, None, "unknown")
    assert run.problems == (f"{path / 'metrics.jsonl'}: cannot be read: No such file or directory",)
    assert listing([run]).splitlines()[1].split() == [
        "a",
        "conformer",
        "batchnorm",
        "–/40",
        "–",
        "–",
        "–",
        "–",
        "–",
        "unknown",
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    metrics=st.binary(max_size=60),
    config=st.binary(max_size=60),
    step=st.integers(min_value=0) | st.integers() | st.text(),
    loss=st.floats() | st.text(),
)
@example(metrics=b"", config=b"", step=2, loss=float("nan"))
def test_a_run_with_any_files_is_one_line(
    tmp_path: Path, metrics: bytes, config: bytes, step: object, loss: object
) -> None:
    path = tmp_path / "a"
    shutil.rmtree(path, ignore_errors=True)
    write_run(path)
    line = json.dumps({"step": step, "part": "train", "loss": loss}).encode()
    (path / "metrics.jsonl").write_bytes(line + b"\n" + metrics)
    (path / "config.yaml").write_bytes(config)
    run = read(path)
    assert len(listing([run]).splitlines()) <= 2 + 1 + 2 + len(run.problems)
    assert json.loads(json_line(run), parse_constant=pytest.fail)["name"] == "a"


def test_runs_are_found_at_any_depth_but_not_inside_of_runs(tmp_path: Path) -> None:
    write_run(tmp_path / "a" / "b" / "c")
    write_run(tmp_path / "d")
    write_run(tmp_path / "d" / "inside")
    (tmp_path / "corpus").mkdir()
    paths, _ = find_runs(tmp_path)
    assert sorted(read_run(path, tmp_path).name for path in paths) == ["a/b/c", "d"]
    assert find_runs(tmp_path / "d")[0] == [tmp_path / "d"]


def test_a_folder_that_cannot_be_read_costs_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(tmp_path / "a")
    (tmp_path / "private").mkdir()
    scan = os.scandir

    def refuse(path: str) -> object:
        if os.path.basename(path) == "private":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert find_runs(tmp_path) == ([tmp_path / "a"], [f"{tmp_path / 'private'}: cannot be read: Permission denied"])


def test_runs_are_chosen_by_name_or_path(tmp_path: Path) -> None:
    for name in ("a", "b/c", "line\nbreak"):
        write_run(tmp_path / name)
    assert find_runs(str(tmp_path), ["b/c/", "a"])[0] == [tmp_path / "b/c", tmp_path / "a"]
    assert find_runs(tmp_path, [str(tmp_path / "a"), "a"])[0] == [tmp_path / "a"]
    assert find_runs(tmp_path, ["line\\nbreak"])[0] == [tmp_path / "line\nbreak"]
    with pytest.raises(UserError, match=r"contains no run 'b/d'; did you mean 'b/c'\?"):
        find_runs(tmp_path, ["b/d"])
    with pytest.raises(UserError, match=r"contains no run 'something-else'; `speakerid runs .*` lists them"):
        find_runs(tmp_path, ["something-else"])


def test_the_best_comes_first(tmp_path: Path) -> None:
    accuracies = {"middle": 0.5, "last": None, "first": 0.9, "also middle": 0.5, "zero": 0.0}
    for name, accuracy in accuracies.items():
        write_run(tmp_path / name, *([] if accuracy is None else [validated(10, accuracy)]))
    runs = sorted((read(path) for path in find_runs(tmp_path)[0]), key=best_first)
    assert [run.name for run in runs] == ["first", "also middle", "middle", "zero", "last"]


def test_the_table_fits_a_terminal_and_holds_no_control_characters(tmp_path: Path) -> None:
    speed = {"steps_per_second": 12.345}
    lines = [trained(46_000, 0.01234, **speed), validated(46_000, 0.97531), rolled_back(46_000, 46_100)]
    plain = read(write_run(tmp_path / "task2_conformer_seed1", *lines, total=70_000))
    assert max(map(len, listing([plain]).splitlines()[:2])) <= 120
    odd = write_run(
        tmp_path / "bell\a\x1b[31m\nline\udcff", *lines, total=70_000, model={"encoder": {"kind": "\x1b[31m"}}
    )
    text = listing([plain, read(odd)])
    assert all(line.isprintable() for line in text.split("\n"))
    assert len(text.split("\n")) == 6
    assert "give its folder a printable name" in text


def test_a_thousand_runs_are_listed_without_torch(tmp_path: Path) -> None:
    for n in range(1000):
        write_run(tmp_path / f"run{n}", trained(2), validated(4, n / 1000))
    code = "import sys; sys.modules['torch'] = sys.modules['matplotlib'] = None; from speakerid.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "runs", str(tmp_path), "--json"], capture_output=True, text=True)
    assert done.stderr == ""
    names = [json.loads(line)["name"] for line in done.stdout.splitlines()]
    assert names == [f"run{n}" for n in reversed(range(1000))]


def test_a_classifier_with_settings_is_named_by_its_kind(tmp_path: Path) -> None:
    model = {"encoder": {"kind": "conformer"}, "classifier": {"kind": "cosine", "scale": 20.0}}
    assert read(write_run(tmp_path / "run", trained(2), model=model)).classifier == "cosine"
