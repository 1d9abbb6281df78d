"""Run something once, and keep its records."""

import contextlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from speakerid.base.files import atomic_file


def run_once(folder: Path, outcomes: Callable[[], Iterable[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Records of a run: those in its folder if it was finished before, else those that `outcomes` makes.

    What it prints goes to log.txt in the folder. Its checkpoints, a hundred megabytes each, are deleted at the end.
    """
    done = folder / "result.json"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "log.txt").open("a") as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            records = list(outcomes())
        with atomic_file(done) as partial:
            partial.write_text(json.dumps(records), encoding="utf-8")
    for checkpoint in folder.rglob("*.pt"):
        checkpoint.unlink()
    return json.loads(done.read_text(encoding="utf-8"))
