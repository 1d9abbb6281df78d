"""Run `speakerid train --auto-resume` in processes that are killed, until one of them finishes.

    python tests/killing.py CONFIG < plan.jsonl > deaths.jsonl

Each line of the plan is a run: `{"run_dir": "a", "kills": [{"call": 7}, {"seconds": 0.2}]}`. The first process dies in
front of its seventh call that changes or syncs a file (or of its seventh of those named in `of`), the second wherever
it is 0.2 s after training began, the third lives. The answer, a line a run, is what each was at when it died ("step",
"save", "validate" or "other"), or its exit status. Importing torch takes seconds, so every process is a fork of one
that did it, and that has trained by CONFIG without being killed.
"""

import functools
import json
import mmap
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import speakerid.training.run as run_module
from speakerid import cli
from speakerid.config import load_config
from speakerid.training import validation
from speakerid.training.run_directory import RunDirectory
from speakerid.training.trainer import Trainer

PHASES = ["other", "step", "save", "validate"]
CALLS = ["replace", "fsync", "link", "unlink"]


def main() -> None:
    torch.set_num_threads(1)
    RunDirectory.draw_curves = lambda self: None  # takes longer than the rest of the run
    config = load_config(Path(sys.argv[1]))
    run_module.train(config, style="quiet")  # an uninterrupted run, which also does the late imports
    for line in sys.stdin:
        run = json.loads(line)
        arguments = ["--config", sys.argv[1], "--auto-resume", "--quiet", f"run_dir={run['run_dir']}"]
        deaths: list[str | int] = []
        for kill in [*run["kills"], {}]:
            deaths.append(_life(arguments, kill))
            if isinstance(deaths[-1], int):
                break
        print(json.dumps(deaths), flush=True)


def _life(arguments: list[str], kill: dict[str, Any]) -> str | int:
    """Phase in which a training process was killed, or its exit status."""
    shared = mmap.mmap(-1, 2)  # the phase, and whether training has begun
    if (child := os.fork()) == 0:
        _train(arguments, kill, shared)
    if "seconds" in kill:
        while not shared[1]:
            time.sleep(0.001)
        time.sleep(kill["seconds"])
        os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return PHASES[shared[0]] if code == -signal.SIGKILL else code


def _train(arguments: list[str], kill: dict[str, Any], shared: mmap.mmap) -> None:
    """Become a training process; does not return."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    for owner, name, phase in (
        (Trainer, "fit", "other"), (Trainer, "_train_step", "step"),
        (RunDirectory, "save", "save"), (run_module, "validate", "validate"),
    ):  # fmt: skip
        setattr(owner, name, _marked(getattr(owner, name), PHASES.index(phase), shared))
    if "call" in kill:
        left = iter(range(kill["call"] - 1, -1, -1))
        for name in kill.get("of", CALLS):
            owner = validation if name == "predict_batches" else os
            setattr(owner, name, _killing(getattr(owner, name), left))
    sys.argv = ["train.py", *arguments]
    try:
        cli.main("train")
    except SystemExit as exit:
        os._exit(int(exit.code or 0))


def _marked(function: Callable[..., Any], phase: int, shared: mmap.mmap) -> Callable[..., Any]:
    @functools.wraps(function)
    def marked(*arguments: Any, **named: Any) -> Any:
        before, shared[0], shared[1] = shared[0], phase, 1
        try:
            return function(*arguments, **named)
        finally:
            shared[0] = before

    return marked


def _killing(function: Callable[..., Any], left: Any) -> Callable[..., Any]:
    def killing(*arguments: Any, **named: Any) -> Any:
        if next(left, -1) == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **named)

    return killing


if __name__ == "__main__":
    main()
