"""Train a classifier with the settings of a YAML file.

The file is a path or the name of one that ships (see `speakerid configs`). section.setting=value overrides a setting:
  speakerid train few_minutes data.root=data/mine run_dir=runs/mine
  speakerid train --config my.yaml model.d_model=96
The run's folder (run_dir) gets best.pt and last.pt, metrics.jsonl, curves.png, TensorBoard scalars and config.yaml.
Ctrl-C finishes the step, saves a checkpoint, and prints how to continue.
"""

import argparse
import shlex
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from speakerid.base.errors import UserError
from speakerid.base.printing import printable
from speakerid.cli.output import say

if TYPE_CHECKING:
    from speakerid.config import Config
    from speakerid.training.run import TrainResult

REQUEUE = 75
"""Exit status after SIGTERM: EX_TEMPFAIL of sysexits.h, "try again later"."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help="the file, as an option")
    parser.add_argument("--resume", action="store_true", help="continue from the last intact checkpoint in run_dir")
    parser.add_argument(
        "--auto-resume", action="store_true",
        help="resume if there is a checkpoint, else start: for schedulers that restart jobs",
    )  # fmt: skip
    parser.add_argument(
        "--find-batch-size", action="store_true",
        help="do not train: try batch sizes 8, 16, 32, … for a few steps each, and recommend one",
    )  # fmt: skip
    talk = parser.add_mutually_exclusive_group()
    talk.add_argument("--quiet", action="store_true", help="print only the result and important messages")
    talk.add_argument("--json", action="store_true", help="one JSON object per line on stdout: metrics and messages")
    parser.add_argument("overrides", nargs="*", metavar="[FILE] section.setting=value", help="file and overrides")


def run(options: argparse.Namespace) -> int:
    from speakerid.base.distributed import was_restarted
    from speakerid.config import load_config
    from speakerid.training.run import train

    path, overrides = _file_and_overrides(options)
    config = load_config(path, overrides)
    if options.find_batch_size:
        return _find_batch_size(config)
    _check_settings(config)
    again = "if any" if options.auto_resume or was_restarted() else False
    style = "quiet" if options.quiet else "json" if options.json else "auto"
    result = train(config, options.resume or again, style=style)
    if options.json:
        return _status(result.stopped_by)
    if result.stopped_by:
        arguments = shlex.join(["--config", str(path), "--resume", *overrides])
        say(f"Stopped and saved to {printable(result.run.last)}. Continue with: {options.program} {arguments}")
        return _status(result.stopped_by)
    say(f"Best validation accuracy {result.best_accuracy:.4f}{_interval(result)}: {printable(result.run.best)}")
    say(f"Curves: {printable(result.run.curves)}  Metrics: {printable(result.run.metrics)}")
    return 0


def _file_and_overrides(options: argparse.Namespace) -> tuple[Path, list[str]]:
    """The settings file, from --config or the first argument, and the other arguments.

    Raises:
        UserError: no settings file was given, or it does not exist.
    """
    if options.config is not None:
        return options.config, options.overrides
    first = next(iter(options.overrides), "")
    if not first or ("=" in first and not Path(first).is_file()):
        raise UserError("train: no settings file; expected a path or a name that `speakerid configs` lists")
    return Path(first), options.overrides[1:]


def _check_settings(config: "Config") -> None:
    """Refuse a new run whose config.yaml would replace a hand-written one with its comments.

    Raises:
        UserError: the folder of the run has such a file.
    """
    from speakerid.cli.destination import check_destination
    from speakerid.cli.kinds import SETTINGS
    from speakerid.training.run_directory import RunDirectory

    path = config.run_dir / "config.yaml"
    if path.exists() and not RunDirectory.holds_a_run(config.run_dir):
        check_destination(path, SETTINGS, (), "run_dir")


def _interval(result: "TrainResult") -> str:
    """Confidence interval of the best accuracy, which is wide for few utterances; empty if unknown."""
    from speakerid.metrics.classification import wilson_interval

    counts = [record.utterances for record in result.run.read_log().valid if record.utterances]
    if not counts or result.best_accuracy is None:
        return ""
    low, high = wilson_interval(result.best_accuracy, counts[-1])
    return f" ({counts[-1]} utterances, so {low:.2f} to {high:.2f} with 95 % confidence)"


def _status(stopped_by: signal.Signals | None) -> int:
    if stopped_by is None:
        return 0
    return REQUEUE if stopped_by == signal.SIGTERM else 128 + stopped_by


def _find_batch_size(config: "Config") -> int:
    from speakerid.base.progress import Progress
    from speakerid.training.find_batch_size import find_batch_size, recommended

    trials, too_large = find_batch_size(config, Progress())
    ended = f"{too_large} does not fit" if too_large else "larger ones are not faster"
    say(f"{ended}; recommended: {recommended(trials)}. Another batch size may need another learning rate.")
    return 0
