"""List the runs below a folder, ordered by validation accuracy, and compare them in one figure.

A run is a folder with metrics.jsonl. Its line shows the model, the step, the best accuracy and its step, the last
training loss, the speed, the age of the last line it wrote, and the state:
  running   its process is running             silent    it is running, but has written nothing for five minutes
  finished  validated after its last step      stopped   the command to continue it is below the table
  diverged  given up after diverging           unknown   config.yaml or metrics.jsonl cannot be read
If a run diverged and went back to a checkpoint, its line shows how often. A dash means that a value is unknown.

  speakerid runs runs
  speakerid runs runs task1_transformer task2_conformer --plot comparison.png
"""

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder to search, at any depth")
    parser.add_argument(
        "names", nargs="*", metavar="RUN", help="only these, by their names in the table (default: all)"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="compare the runs in a figure: .png, .svg or .pdf")
    parser.add_argument("--json", action="store_true", help="one JSON object per line instead of the table")


def run(options: argparse.Namespace) -> int:
    from speakerid.base.printing import printable
    from speakerid.cli.destination import check_destination, run_files
    from speakerid.cli.kinds import FIGURE
    from speakerid.cli.output import complain
    from speakerid.training.runs import best_first, find_runs, read_run
    from speakerid.training.runs_table import json_line, listing

    paths, unreadable = find_runs(options.folder, options.names)
    if options.plot:
        files = [file for path in (*paths, options.plot.parent) for file in run_files(path)]
        check_destination(options.plot, FIGURE, files, "--plot")
    for line in unreadable:
        complain(line, "left out")
    runs = sorted((read_run(path, options.folder) for path in paths), key=best_first)
    print("\n".join(map(json_line, runs)) if options.json else listing(runs))
    if options.plot:
        from speakerid.training.metrics_log import read_log
        from speakerid.training.runs_plot import plot_runs

        logs = {run.name: read_log(run.path) for run in runs if run.step is not None}
        plot_runs(logs, options.folder, options.plot)
        print(f"Plot: {printable(options.plot)}", file=sys.stderr if options.json else sys.stdout)
    return 0
