"""Processes that start fast, to be interrupted and killed.

Each is a fork of a process that has imported torch, which takes seconds, and has done nothing else.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["processes", "pytest", "torch._dynamo", "torch.distributed.launcher.api", "torch.utils.tensorboard",
     "speakerid.training.run", "speakerid.recognition.make_bundle"]
)  # fmt: skip


def become(script: Path, arguments: list[str], out: str | None = os.devnull, err: str | None = os.devnull) -> None:
    """Act as `python SCRIPT ARGUMENTS > OUT 2> ERR`; target of a process."""
    _redirect(out, err)
    torch.set_num_threads(1)
    sys.argv = [str(script), *arguments]
    sys.path.insert(0, str(script.parent))
    runpy.run_path(str(script), run_name="__main__")


def torchrun(ranks: int, script: Path, *arguments: str, restarts: int = 0) -> "subprocess.CompletedProcess[str]":
    """Run `torchrun --standalone --nproc-per-node RANKS SCRIPT ARGUMENTS` with a launcher that forks from here."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        launcher = FORKS.Process(target=_launch, args=(ranks, restarts, script, [*arguments], str(out), str(err)))
        launcher.start()
        launcher.join(200)
        launcher.kill()
        assert launcher.exitcode is not None, "it hangs"
        return subprocess.CompletedProcess(arguments, launcher.exitcode, out.read_text(), err.read_text())


def _launch(ranks: int, restarts: int, script: Path, arguments: list[str], out: str, err: str) -> None:
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    _redirect(out, err)
    config = LaunchConfig(
        1, 1, ranks, run_id="test", rdzv_backend="c10d", rdzv_endpoint="localhost:0", max_restarts=restarts,
        start_method="fork",
    )  # fmt: skip
    elastic_launch(config, become)(script, arguments, None, None)


def _redirect(out: str | None, err: str | None) -> None:
    for stream, path in ((1, out), (2, err)):
        if path is not None:
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), stream)
