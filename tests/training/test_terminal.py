"""If the terminal of a run is closed, the run saves and ends, and can be resumed from there."""

import os
import pty
import signal
import sys
import time
from pathlib import Path

import yaml

from experiments import small_config, write_easy_corpus
from speakerid.training.checkpoint import Checkpoint

TRAIN = Path(__file__).resolve().parents[2] / "scripts" / "train.py"


def test_a_closed_terminal_costs_no_step(tmp_path: Path) -> None:
    settings = {"total_steps": 100_000, "valid_steps": 50_000, "save_steps": 50_000, "log_steps": 1}
    config = small_config(write_easy_corpus(tmp_path / "corpus"), tmp_path / "run", **settings)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
    process, terminal = pty.fork()
    if process == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
        os.environ["OMP_NUM_THREADS"] = "1"
        os.execv(sys.executable, [sys.executable, str(TRAIN), "--config", str(tmp_path / "config.yaml")])
    metrics = tmp_path / "run" / "metrics.jsonl"
    shown = b""
    while not metrics.exists() or metrics.read_bytes().count(b"\n") < 30:
        shown += os.read(terminal, 10_000)
        time.sleep(0.01)
    os.close(terminal)
    _, status = os.waitpid(process, 0)
    assert os.WIFEXITED(status), signal.Signals(os.WTERMSIG(status))
    assert b"Train:" in shown
    assert b"eta=" in shown
    saved = Checkpoint.load(tmp_path / "run" / "last.pt").step
    assert saved >= 30
    assert len(metrics.read_text().splitlines()) == saved
