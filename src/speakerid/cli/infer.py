"""Recognize the test utterances of a corpus and write an HW4 submission: Id,Category, one row each.

Several checkpoints form an ensemble:
  speakerid infer --checkpoint runs/a/best.pt runs/b/best.pt --data data/Dataset --output submission.csv
"""

import argparse
from pathlib import Path

from speakerid.base.printing import printable
from speakerid.cli.arguments import add_crops, add_device, chosen_crops
from speakerid.cli.output import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoint", type=Path, nargs="+", required=True, metavar="FILE", help="best.pt of one or more runs"
    )
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="corpus with a test part")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="CSV file to write")
    add_crops(parser)
    add_device(parser)


def run(options: argparse.Namespace) -> int:
    from speakerid.base.distributed import process_group
    from speakerid.cli.destination import check_destination, corpus_files
    from speakerid.cli.kinds import SUBMISSION
    from speakerid.evaluation.submission import infer
    from speakerid.training.run import choose_device

    inputs = [*options.checkpoint, *corpus_files(options.data)]
    check_destination(options.output, SUBMISSION, inputs, "--output")
    device, crops = choose_device(options.device), chosen_crops(options)
    with process_group():
        corpus = infer(options.checkpoint, options.data, options.output, device, options.frames_per_batch, crops)
    say(f"{len(corpus.test)} rows: {printable(options.output)}")
    return 0
