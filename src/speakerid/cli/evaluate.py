"""Evaluate a bundle or a checkpoint on utterances with known speakers.

evaluate BUNDLE CORPUS measures identification and verification on the test utterances and strangers of a corpus, with
the thresholds and probabilities of the bundle. --out writes a page with curves, confusions and a map.

evaluate --checkpoint FILE measures the accuracy of a checkpoint and of a linear baseline on the same utterances. The
baseline shows how much the channel and the average spectrum alone reveal: linear discriminant analysis on mean and
standard deviation of every band, with shrinkage chosen by cross-validation. --part valid uses the validation split of
the run, --part test the test utterances of the corpus, if it has answers.csv.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from speakerid.base.errors import UserError
from speakerid.base.printing import printable
from speakerid.cli.arguments import add_crops, add_device, chosen_crops
from speakerid.cli.output import say

_BUNDLE_OPTIONS = ("trials", "as_norm", "out", "json")
_CHECKPOINT_OPTIONS = ("data", "part", "crops", "crop_frames", "device", "frames_per_batch")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, nargs="?", metavar="BUNDLE", help="bundle, made by `speakerid export`")
    parser.add_argument("corpus", type=Path, nargs="?", metavar="CORPUS", help="corpus to evaluate it on")
    parser.add_argument("--checkpoint", type=Path, nargs="+", metavar="FILE", help="best.pt of one or more runs")
    parser.add_argument(
        "--seconds", type=float, nargs="*", metavar="S",
        help="durations to cut from the middle of each utterance, besides whole ones (default 0.5 1 2 4 with a bundle, "
        "1 2 with a checkpoint)",
    )  # fmt: skip
    bundle = parser.add_argument_group("with a bundle")
    bundle.add_argument(
        "--trials", type=Path, metavar="FILE",
        help="also evaluate the trials of this list: lines '1 enrollment test' or 'enrollment test target' with "
        "recordings or feature paths",
    )  # fmt: skip
    bundle.add_argument(
        "--as-norm", action="store_true", help="also normalize scores by those of the bundle's other speakers"
    )
    bundle.add_argument("--out", type=Path, metavar="FOLDER", help="write report.html and its pictures there")
    bundle.add_argument("--json", action="store_true", help="print the tables as JSON")
    checkpoint = parser.add_argument_group("with --checkpoint")
    checkpoint.add_argument("--data", type=Path, metavar="FOLDER", help="corpus (default: the one it was trained on)")
    checkpoint.add_argument("--part", choices=["valid", "test"], help="which utterances (default valid)")
    add_crops(checkpoint)
    add_device(checkpoint)
    parser.set_defaults(device=None)  # None if not given


def run(options: argparse.Namespace) -> int:
    _check(options)
    return _checkpoints(options) if options.checkpoint else _bundle(options)


def _check(options: argparse.Namespace) -> None:
    """Refuse arguments that fit neither of the two forms, and options of the other form."""
    forms = "evaluate BUNDLE CORPUS or evaluate --checkpoint FILE"
    if options.checkpoint and options.bundle:
        raise UserError(f"evaluate: found a bundle, {options.bundle}, and --checkpoint; expected {forms}")
    if not options.checkpoint and not options.bundle:
        raise UserError(f"evaluate: found neither a bundle nor --checkpoint; expected {forms}")
    if options.bundle and not options.corpus:
        raise UserError(f"evaluate: found {options.bundle} without a corpus; expected evaluate BUNDLE CORPUS")
    foreign, form = (_BUNDLE_OPTIONS, "a bundle") if options.checkpoint else (_CHECKPOINT_OPTIONS, "--checkpoint")
    for name in foreign:
        if getattr(options, name) not in (None, False):
            raise UserError(f"--{name.replace('_', '-')}: only for evaluate with {form}; leave it out")


def _bundle(options: argparse.Namespace) -> int:
    from speakerid.evaluation.bundles import DURATIONS, evaluate_bundle
    from speakerid.evaluation.report import write_page

    if options.out:
        _check_out(options)
    seconds = DURATIONS if options.seconds is None else options.seconds
    results = evaluate_bundle(options.bundle, options.corpus, seconds, options.trials, options.as_norm)
    page = write_page(results, options.out) if options.out else None
    if options.json:
        say(json.dumps(results.as_json(), indent=2))
        return 0
    say("\n".join([*results.facts, "", results.as_text()]))
    if page:
        say(f"\n{printable(page)}")
    return 0


def _check_out(options: argparse.Namespace) -> None:
    """Refuse a folder with a report or pictures from elsewhere, such as the corpus report."""
    from speakerid.cli.destination import check_destination, corpus_files
    from speakerid.cli.kinds import EVALUATION_PAGE, PAGE_PICTURE
    from speakerid.evaluation.report import PAGE
    from speakerid.evaluation.report_plots import NAMES

    inputs = [options.bundle, *corpus_files(options.corpus), *([options.trials] if options.trials else [])]
    check_destination(options.out / PAGE, EVALUATION_PAGE, inputs, "--out")
    if not (options.out / PAGE).exists():  # pictures next to a page belong to it
        for name in NAMES:
            check_destination(options.out / f"{name}.png", PAGE_PICTURE, inputs, "--out")


def _checkpoints(options: argparse.Namespace) -> int:
    from speakerid.base.distributed import process_group
    from speakerid.evaluation.checkpoints import evaluate_checkpoints
    from speakerid.training.run import choose_device

    with process_group():
        rows = evaluate_checkpoints(
            options.checkpoint,
            options.data,
            options.part or "valid",
            [1.0, 2.0] if options.seconds is None else options.seconds,
            choose_device(options.device or "auto"),
            options.frames_per_batch,
            chosen_crops(options),
        )
    say(f"{'duration':<10}{'accuracy':>10}{'macro':>10}{'linear baseline (macro)':>26}")
    for row in rows:
        say(f"{row.duration:<10}{row.accuracy:>10.4f}{row.macro_accuracy:>10.4f}{row.baseline:>26.4f}")
    return 0
