"""Print the seconds from the start of this process to the end of `import torch`, or to and through a first step.

  python scripts/research/benchmarks/first_step.py
  python scripts/research/benchmarks/first_step.py CONFIG CORPUS RUN_DIR

It imports nothing but what is measured, and uses only names that earlier revisions have, too.
"""

import os
import sys
from pathlib import Path
from typing import Any


def main(arguments: list[str]) -> None:
    import torch  # noqa: F401

    if not arguments:
        print(_seconds_since_start())
        return
    from speakerid.cli import run
    from speakerid.training.step import TrainingStep

    step = TrainingStep.__call__

    def first_step(*inputs: Any) -> None:
        before = _seconds_since_start()
        step(*inputs)
        print(before, _seconds_since_start(), flush=True)
        os._exit(0)

    TrainingStep.__call__ = first_step  # pyright: ignore[reportAttributeAccessIssue]
    config, corpus, run_dir = arguments
    run(["train", "--config", config, "--quiet", f"data.root={corpus}", f"run_dir={run_dir}"])


def _seconds_since_start() -> float:
    """Seconds since this process started, from /proc."""
    started = int(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19]) / os.sysconf("SC_CLK_TCK")
    return float(Path("/proc/uptime").read_text().split()[0]) - started


if __name__ == "__main__":
    main(sys.argv[1:])
