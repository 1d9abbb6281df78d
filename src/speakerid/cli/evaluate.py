"""Accuracy of a checkpoint on utterances whose speakers are known, beside a linear baseline on the same ones.

The baseline (linear discriminant analysis on mean and deviation of every band) tells how much the channel and the
average spectrum alone give away. --part valid takes the validation split of the run, --part test the corpus's test
utterances, if it has answers.csv.
"""

import argparse
from pathlib import Path

from speakerid.cli.arguments import add_crops, add_device, chosen_crops
from speakerid.cli.output import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoint", type=Path, nargs="+", required=True, metavar="FILE", help="best.pt of a run, or several"
    )
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="corpus (default: the one trained on)")
    parser.add_argument("--part", choices=["valid", "test"], default="valid", help="which utterances (default valid)")
    parser.add_argument(
        "--seconds", type=float, nargs="*", default=[1.0, 2.0], metavar="S",
        help="durations cut from the middle of each utterance, besides whole ones (default 1 2)",
    )  # fmt: skip
    add_crops(parser)
    add_device(parser)


def run(options: argparse.Namespace) -> int:
    from speakerid.distributed import process_group
    from speakerid.recognition.evaluation import evaluate_checkpoints
    from speakerid.training.run import choose_device

    with process_group():
        rows = evaluate_checkpoints(
            options.checkpoint,
            options.data,
            options.part,
            options.seconds,
            choose_device(options.device),
            options.frames_per_batch,
            chosen_crops(options),
        )
    say(f"{'duration':<10}{'accuracy':>10}{'macro':>10}{'linear baseline (macro)':>26}")
    for row in rows:
        say(f"{row.duration:<10}{row.accuracy:>10.4f}{row.macro_accuracy:>10.4f}{row.baseline:>26.4f}")
    return 0
