"""Train a classifier by the settings of a YAML file.

Single settings are laid over the file as section.setting=value:
  python scripts/train.py --config configs/task1_transformer.yaml data.root=data/Dataset run_dir=runs/first
The run's folder (run_dir) gets best.pt and last.pt, metrics.jsonl, curves.png, TensorBoard scalars and config.yaml.
Ctrl-C finishes the step, saves, and says how to go on.
"""

import argparse
import os
import shlex
import signal
from pathlib import Path

REQUEUE = 75
"""Exit status after SIGTERM: EX_TEMPFAIL of sysexits.h, "try again later"."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="settings, see configs/")
    parser.add_argument("--resume", action="store_true", help="go on from the last sound checkpoint in run_dir")
    parser.add_argument(
        "--auto-resume", action="store_true",
        help="resume where there is something to resume, else start: for schedulers that start a job again",
    )  # fmt: skip
    talk = parser.add_mutually_exclusive_group()
    talk.add_argument("--quiet", action="store_true", help="no progress, only the result and what must be known")
    talk.add_argument("--json", action="store_true", help="an object a line on stdout: metrics and messages")
    parser.add_argument("overrides", nargs="*", metavar="section.setting=value", help="laid over the file")


def run(options: argparse.Namespace) -> int:
    from speakerid.config import load_config
    from speakerid.distributed import was_restarted
    from speakerid.training.run import train

    config = load_config(options.config, options.overrides)
    again = "if any" if options.auto_resume or was_restarted() else False
    style = "quiet" if options.quiet else "json" if options.json else "auto"
    result = train(config, options.resume or again, style=style)
    say = print if os.environ.get("RANK", "0") == "0" and not options.json else lambda _: None
    if result.stopped_by:
        arguments = shlex.join(["--config", str(options.config), "--resume", *options.overrides])
        say(f"Stopped and saved to {result.run.last}. Go on with: {options.program} {arguments}")
        return REQUEUE if result.stopped_by == signal.SIGTERM else 128 + result.stopped_by
    say(f"Best validation accuracy {result.best_accuracy:.4f}: {result.run.best}")
    say(f"Curves: {result.run.curves}  Metrics: {result.run.metrics}")
    return 0
