"""Average the weights of a run's last checkpoints, and compare the validation of the mean with that of best.pt.

train.keep_last is the number of checkpoints that a run keeps, and train.save_steps the number of steps between them.
The mean is a checkpoint for infer, evaluate and init_from:
  speakerid train task2_conformer train.keep_last=10
  speakerid average runs/task2_conformer
  speakerid infer --checkpoint runs/task2_conformer/average.pt --data data/Dataset --output submission.csv
"""

import argparse
from pathlib import Path

from speakerid.base.printing import printable
from speakerid.cli.arguments import add_device, positive
from speakerid.cli.output import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN_DIR", help="folder of the run")
    parser.add_argument(
        "--last", type=positive, metavar="N", help="number of checkpoints (default: all that were kept)"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="checkpoint to write (default RUN_DIR/average.pt)")
    add_device(parser)


def run(options: argparse.Namespace) -> int:
    from speakerid.base.distributed import process_group
    from speakerid.cli.destination import check_destination, run_files
    from speakerid.cli.kinds import AVERAGE
    from speakerid.training.averaging import average_checkpoints
    from speakerid.training.run import choose_device

    output = options.output or options.run / "average.pt"
    check_destination(output, AVERAGE, run_files(options.run), "--output")
    device = choose_device(options.device)
    with process_group():
        mean, best = average_checkpoints(options.run, output, options.last, device, options.frames_per_batch)
    first, *_, last = mean.steps
    say(f"{'validation':<40}{'accuracy':>10}{'macro':>10}{'loss':>10}")
    for name, figures in (
        (f"best.pt, step {best.steps[0]}", best.figures),
        (f"mean of {len(mean.steps)}, steps {first} to {last}", mean.figures),
    ):
        say(f"{name:<40}{figures['accuracy']:>10.4f}{figures['macro_accuracy']:>10.4f}{figures['loss']:>10.4f}")
    say(f"Mean: {printable(output)}")
    return 0
