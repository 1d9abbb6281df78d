"""Processes of their own, to be interrupted and killed, that are up in a moment.

Each is a fork of one that has done what takes seconds, importing torch, and nothing else: no threads, no test.
"""

import multiprocessing
import os
import runpy
import sys
from pathlib import Path

import torch

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["pytest", "processes", "torch._dynamo", "speakerid.training.run", "speakerid.recognition.exporting"]
)


def become(script: Path, arguments: list[str], out: str = os.devnull, err: str = os.devnull) -> None:
    """Be `python SCRIPT ARGUMENTS > OUT 2> ERR`; the target of a process."""
    torch.set_num_threads(1)
    for stream, path in ((sys.stdout, out), (sys.stderr, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), stream.fileno())
    sys.argv = [str(script), *arguments]
    sys.path.insert(0, str(script.parent))
    runpy.run_path(str(script), run_name="__main__")
