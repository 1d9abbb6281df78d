"""Train and test several models on the same data, for the same time and for the same steps, and print tables.

  python scripts/research/compare.py RECORDINGS OUT
  python scripts/research/compare.py RECORDINGS OUT --corpora voices-all --models linear task2 ecapa --by seconds

Corpora, all written into OUT by the package's own preparation:
  voices-all, -20, -5  RECORDINGS, a folder per speaker. The last 30 % of each speaker's recordings are the test set,
                       and the 10 % before them the validation set (whole sessions, where they are known). The others
                       are the training set: all of them, or each speaker's first 20 or 5. Validation and test sets are
                       the same for all three, so with 5 there are at least as many recordings to choose a checkpoint by
  speeds               each of these speakers at 13 speeds from 0.82 to 1.22, counted as 13 speakers; the last 12 % of
                       the recordings are the test set, the same at every speed, the 4 % before them the validation set
  …-equalized          these four, with every band standardized over a speaker's frames, which removes the channel
  demo-40, -200, -600  synthetic voices; the validation and the test session have channels that are not in training
Models:
  linear               the linear baseline of every report
  course, task1, task2, small, few_minutes
                       this package's configs of these names (course_sample, …); few_minutes without folds and without
                       channel augmentation, like the others
  few_minutes_means    few_minutes without subtracting a band's mean over the utterance
  few_minutes-…, ecapa-…
                       these two with one part exchanged (see comparison/models.py); only on request
  ecapa, conformer     SpeechBrain's ECAPA-TDNN and torchaudio's Conformer, trained here by the same trainer
  resemblyzer          a pretrained encoder, with only a classifier trained on top
ecapa and resemblyzer need the extra: pip install -e '.[compare]'.

In the first table every run has the same time (--seconds): the processor time of its steps is measured, and its
schedule is made to fit. In the second one every run has the same number of steps (--steps). Runs are parallel
(--workers), each on one thread. The validation utterances choose the checkpoint; the test utterances are read once, at
the end of each run. Runs that are in OUT already are not repeated, and interrupted ones continue. In brackets: the 95 %
interval of a bootstrap over seeds and test utterances.
"""

import argparse
from pathlib import Path

from speakerid.cli import exit_with
from speakerid.cli.arguments import positive
from speakerid.cli.destination import check_destination, check_folder

# Heavy imports are inside the functions: every worker process imports this file when it starts.


def main() -> int:
    options = _parser().parse_args()

    from comparison.corpora import CORPORA, build
    from comparison.models import BY_DEFAULT, CONTESTANTS, available, check_names
    from comparison.plan import KIND, RESULTS, Plan, carry_out, sections

    check_names("--corpora", options.corpora, CORPORA)
    check_names("--models", options.models, CONTESTANTS)
    corpora = options.corpora or list(CORPORA)
    check_folder(options.out, [options.recordings], "OUT")
    check_destination(options.out / RESULTS, KIND, ())
    models = available(options.models)
    absent = [name for name in BY_DEFAULT if not options.models and name not in models]
    build([CORPORA[name] for name in corpora], options.recordings, options.out, options.workers)
    plan = Plan(corpora, models, options.seeds, options.by, options.seconds, options.steps)
    records = carry_out(plan.jobs(), options.out, options.workers)
    for section in sections(plan, records, options.out, absent):
        print(section)
    return 0


def _parser() -> argparse.ArgumentParser:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("recordings", type=Path, metavar="RECORDINGS", help="a folder per speaker")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for corpora, runs and results")
    for name in ("corpora", "models"):
        parser.add_argument(f"--{name}", nargs="+", metavar="NAME", help="see above; default: all")
    both = ["seconds", "steps"]
    parser.add_argument("--by", nargs="+", choices=both, default=both, help="tables to make; default: both")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="N", help="default 0 1 2")
    parser.add_argument(
        "--seconds", type=positive, metavar="N", help="seconds of training (default: depends on the corpus)"
    )
    parser.add_argument(
        "--steps", type=positive, metavar="N", help="steps of training (default: depends on the corpus)"
    )
    parser.add_argument("--workers", type=positive, metavar="N", help="parallel runs (default: one per core)")
    return parser


if __name__ == "__main__":
    exit_with(main)
