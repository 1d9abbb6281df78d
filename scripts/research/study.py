"""Run a grid of experiments, and report where training diverges or collapses, and the norms there.

  python scripts/research/study.py configs/study/report.yaml runs/study

STUDY is a YAML file with a base experiment, overrides, axes and seeds; see docs/study.md. Every run trains on the CPU
with one thread. OUT gets results.csv, outcomes.png, norms.png, and in results/ a file for each run with its norms
during training. Runs that are in OUT already are not repeated, so the same command continues a study that was stopped
or killed. The tables are printed in Markdown.
"""

import argparse
from functools import partial
from pathlib import Path

from speakerid import UserError
from speakerid.base.locks import file_lock
from speakerid.cli import exit_with
from speakerid.cli.destination import check_destination
from speakerid.cli.kinds import FIGURE


def study() -> int:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("study", type=Path, help="YAML file, see configs/study/")
    parser.add_argument("out", type=Path, help="folder for runs, results and figures")
    parser.add_argument("--workers", type=int, help="parallel runs, each on one thread (default: one per core)")
    options = parser.parse_args()
    if options.workers is not None and options.workers < 0:
        raise UserError(f"--workers: found {options.workers}, expected 0 (in this process) or more")

    # Heavy imports are here, since every worker process imports this file when it starts.
    from speakerid.base.parallel import parallel_map
    from speakerid.base.progress import Progress
    from speakerid.training.training_data import open_training_data
    from studies.figures import PICTURES, draw
    from studies.grid import load_study
    from studies.running import result_of, run
    from studies.tables import KIND, TABLE, tables, write_csv

    grid = load_study(options.study)
    check_destination(options.out / TABLE, KIND, [options.study])
    for name in PICTURES:
        check_destination(options.out / name, FIGURE, [options.study])
    options.out.mkdir(parents=True, exist_ok=True)
    with file_lock(options.out / ".lock"):
        missing = [cell for cell in grid.cells if result_of(cell, options.out) is None]
        for config in {cell.config.data: cell.config for cell in missing}.values():
            open_training_data(config, Progress("quiet"))  # write and pack it once here, not in every worker
        for _ in parallel_map(partial(run, out=options.out), missing, "Study", "runs", options.workers):
            pass
        results = {cell: result for cell in grid.cells if (result := result_of(cell, options.out))}
        write_csv(options.out / TABLE, grid, results)
        draw(options.out, grid, results)
    print(tables(grid, results))
    return 0


if __name__ == "__main__":
    exit_with(study)
