"""Measure the shares of strangers given a name and of speakers identified at a requested rate of false accepts.

  python scripts/prepare.py RECORDINGS data/voices --test-fraction 0.3
  python scripts/research/strangers.py data/voices OUT --strangers 7 --draws 3
  python scripts/synthesize.py data/demo --speakers 300
  python scripts/research/strangers.py data/demo OUT --strangers 100 --draws 1 --steps 1600

In each draw some speakers of CORPUS are held out as strangers, and the config is trained on the others. Thresholds are
fitted on one half of the strangers and tested on the other, and vice versa; and also without any strangers, as `export`
does in that case. Two fixed thresholds on the cosine are reported for comparison. Utterances of known speakers are the
test utterances of CORPUS. Then up to 10 of the strangers that no threshold was fitted on are enrolled from 3 clips
each: what do the others lose, and how well are these identified? Draws that are in OUT are not trained again.
"""

import argparse
from pathlib import Path

from speakerid.cli import exit_with
from speakerid.cli.arguments import positive
from speakerid.cli.destination import check_folder


def main() -> int:
    options = _parser().parse_args()
    check_folder(options.out, [options.corpus], "OUT")

    from open_set.draws import hold_out  # heavy imports, which --help does without
    from open_set.measuring import measure
    from open_set.tables import tables
    from speakerid import load_config, train

    measured = []
    for draw in range(options.draws):
        root, run_dir = options.out / f"corpus-{draw}", options.out / f"run-{draw}"
        if not root.exists():
            hold_out(options.corpus, root, options.strangers, draw)
        if not (run_dir / "best.pt").exists():
            settings = [
                f"data.root={root}", f"run_dir={run_dir}", f"seed={draw}", f"train.total_steps={options.steps}",
                f"train.warmup_steps={options.steps // 10}", f"train.valid_steps={options.steps // 5}",
            ]  # fmt: skip
            train(load_config(options.config, settings), resume="if any")
        measured.append(measure(run_dir / "best.pt", draw))
    print(tables(measured))
    return 0


def _parser() -> argparse.ArgumentParser:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("corpus", type=Path, metavar="CORPUS", help="a corpus with test utterances of known speakers")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for corpora and runs")
    parser.add_argument("--strangers", type=positive, default=7, metavar="N", help="speakers held out (default 7)")
    parser.add_argument(
        "--draws", type=positive, default=3, metavar="N", help="number of draws of strangers (default 3)"
    )
    parser.add_argument("--steps", type=positive, default=800, metavar="N", help="steps of training (default 800)")
    config = Path(__file__).parents[2] / "configs" / "few_minutes.yaml"
    parser.add_argument("--config", type=Path, default=config, metavar="FILE", help="default few_minutes.yaml")
    return parser


if __name__ == "__main__":
    exit_with(main)
