"""Train on some simulated occasions and test on others: speakers identified, strangers named, expected and measured.

  python scripts/research/occasions.py RECORDINGS OUT --more MORE_RECORDINGS
  python scripts/research/occasions.py RECORDINGS OUT --designs meetings --settings data.folds=3

An occasion is a room, a microphone, noise and a codec (see `speakerid prepare --occasions`), used once. Designs:
  meetings   all speakers of RECORDINGS, 3 occasions of 6 recordings each; tested on a fourth
  known      15 random speakers, 4 occasions of 5 recordings each; tested on 2 others; all other people are strangers
  clean      all speakers, 20 recordings as they are; tested on 2 occasions
  synthetic  40 of 60 synthetic voices, 3 occasions of 4 recordings each; tested on 2 others; the rest are strangers
With --more, the people in MORE_RECORDINGS, who must be others, are strangers in the first three designs. A seed
determines the known speakers, the occasions and the training.

Models are those of scripts/research/compare.py. `few_minutes` trains as its config says, overridden by --settings; the
others take the steps that fit into --seconds of processor time. Resemblyzer is pretrained. A row `classifier` has the
results of the checkpoint, `bundle` those of its export, `nearest centroid` those of the cosine to a speaker's mean
embedding. resemblyzer and ecapa need the extra: pip install -e '.[compare]'. Occasions need the extra av.

Shares weight all speakers equally. In brackets: the 95 % interval of a bootstrap over speakers and their utterances, of
all seeds together. Runs that are in OUT already are not repeated; other --settings are other runs.
"""

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from speakerid.cli import exit_with
from speakerid.cli.arguments import positive
from speakerid.cli.destination import check_folder

if TYPE_CHECKING:
    from speakerid.corpus.utterances import Utterances

# Heavy imports are inside the functions: every worker process imports this file when it starts.


def main() -> int:
    options = _parser().parse_args()

    from comparison.models import available, check_names
    from simulated.designs import DESIGNS, build
    from simulated.runs import MODELS, Job, OpenedTest, run
    from simulated.tables import Spoken, sections
    from speakerid.base.parallel import parallel_map

    check_names("--designs", options.designs, DESIGNS)
    check_names("--models", options.models, MODELS)
    check_folder(options.out, [source for source in (options.recordings, options.more) if source], "OUT")
    settings = tuple(options.settings)
    models = available(options.models)
    for design in options.designs or DESIGNS:
        tests = [
            OpenedTest.open(build(design, seed, options.recordings, options.more, options.out, options.workers)).corpus
            for seed in options.seeds
        ]
        jobs = [Job(design, seed, model, settings, options.seconds) for seed in options.seeds for model in models]
        done = list(parallel_map(partial(run, out=options.out), jobs, design.capitalize(), "runs", options.workers))
        answers = [
            [line for job, lines in zip(jobs, done, strict=True) if job.seed == seed for line in lines]
            for seed in options.seeds
        ]
        spoken = [Spoken(*(_names(part) for part in (test.test, test.strangers))) for test in tests]
        print(
            f"### {design}\n\n{len(tests[0].speakers)} speakers, {len(tests[0].labelled)} recordings to train on, "
            f"{len(tests[0].test)} to test, {len(tests[0].strangers)} of {len(set(spoken[0].strangers))} strangers; "
            f"seeds {' '.join(map(str, options.seeds))}; settings: {' '.join(settings) or 'none'}\n"
        )
        for section in sections(answers, spoken):
            print(f"{section}\n", flush=True)
    return 0


def _names(utterances: "Utterances") -> list[str]:
    return [str(one.speaker) for one in utterances]


def _parser() -> argparse.ArgumentParser:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("recordings", type=Path, metavar="RECORDINGS", help="a folder per speaker")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for recordings, corpora, runs and results")
    parser.add_argument("--more", type=Path, metavar="FOLDER", help="recordings of other people: strangers")
    usual = ["few_minutes", "linear", "resemblyzer", "ecapa"]
    parser.add_argument("--designs", nargs="+", metavar="NAME", help="see above; default: all")
    parser.add_argument(
        "--models", nargs="+", default=usual, metavar="NAME", help=f"also other names; default: {' '.join(usual)}"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="N", help="default 0 1 2")
    parser.add_argument(
        "--settings",
        nargs="+",
        default=[],
        metavar="SETTING=VALUE",
        help="overrides for the training of this package's models",
    )
    parser.add_argument(
        "--seconds",
        type=positive,
        default=180,
        metavar="N",
        help="seconds of training of the other models (default 180)",
    )
    parser.add_argument("--workers", type=positive, metavar="N", help="processes (default: one per core)")
    return parser


if __name__ == "__main__":
    exit_with(main)
