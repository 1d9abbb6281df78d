"""Run everything once on synthetic voices, in a few minutes; `make demo` runs this.

Writes the demonstration corpus to data/demo if it is missing, trains with configs/demo.yaml in a new folder in runs/,
validates together with the linear baseline, writes submission.csv, and prints where everything is. It has no options:
to vary it, use train.py with the same config and overrides.
"""

import argparse
from itertools import count
from pathlib import Path

from speakerid.cli import exit_with

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "demo.yaml"


def demo() -> int:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()

    from speakerid.config import load_config  # heavy imports, which --help does without
    from speakerid.evaluation.checkpoints import evaluate_checkpoints
    from speakerid.evaluation.submission import infer
    from speakerid.training.run import choose_device, train

    config = load_config(CONFIG, [f"run_dir={_free_folder(Path('runs/demo'))}"])
    result = train(config)
    if result.stopped_by:
        print(f"Stopped. Continue with: python scripts/train.py --config {result.run.path}/config.yaml --resume")
        return 128 + result.stopped_by
    run, device = result.run, choose_device(config.device)
    submission = run.path / "submission.csv"
    infer([run.best], config.data.root, submission, device)
    valid, test = (evaluate_checkpoints([run.best], None, part, [], device)[0] for part in ("valid", "test"))
    print()
    print(f"Validation accuracy  {valid.accuracy:.4f}   linear baseline on the same split  {valid.baseline:.4f}")
    print(f"Test accuracy        {test.accuracy:.4f}   linear baseline on the same split  {test.baseline:.4f}")
    for name, path in {
        "checkpoint": run.best,
        "metrics": run.metrics,
        "curves": run.curves,
        "submission": submission,
    }.items():
        print(f"{name + ':':<20} {path}")
    return 0


def _free_folder(folder: Path) -> Path:
    """The folder, or its first unused numbered variant if it already has a demonstration."""
    return next(path for n in count(1) if not (path := folder if n == 1 else Path(f"{folder}-{n}")).exists())


if __name__ == "__main__":
    exit_with(demo)
