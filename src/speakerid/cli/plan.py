"""Estimate what more recordings would bring: another day, or five more recordings, of every speaker.

  speakerid plan data/mine --out plan.png

A learning curve over days (sessions) and minutes per speaker is measured on subsets of the corpus, always on days that
were not used, and extrapolated, with 95 % intervals over speakers. The classifier is linear: on the average spectrum,
or on the voice prints of a bundle of other people (--bundle), which says more about a trained model.
"""

import argparse
from pathlib import Path

from speakerid.cli.arguments import positive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("corpus", type=Path, metavar="CORPUS", help="prepared corpus")
    parser.add_argument("--bundle", type=Path, metavar="BUNDLE", help="use its voice prints; it must know other people")
    parser.add_argument("--draws", type=positive, default=20, metavar="N", help="draws of subsets (default 20)")
    output = parser.add_argument_group("output")
    output.add_argument("--out", type=Path, metavar="FILE.png", help="draw the curves")
    output.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    import json

    from speakerid.base.progress import Bar
    from speakerid.cli.output import say
    from speakerid.corpus.check import open_corpus
    from speakerid.evaluation.learning_curve import measure
    from speakerid.evaluation.plan_plot import draw
    from speakerid.evaluation.recording_plan import plan, recordings_of
    from speakerid.recognition.recognizer import Recognizer

    if options.out is not None:
        _check_out(options)
    recognizer = None if options.bundle is None else Recognizer.load(options.bundle)
    corpus, store = open_corpus(options.corpus)
    with Bar("Embed", "recordings", len(corpus.labelled.held_out_from)) as bar:
        recordings = recordings_of(corpus, store, recognizer, bar.advance)
    with Bar("Plan", "draws", options.draws) as bar:
        curve = measure(recordings, options.draws, advance=bar.advance)
    how = "a linear classifier of " + ("voice prints" if recognizer else "average spectra")
    found = plan(curve, how)
    if options.out is not None:
        draw(found, options.out)
    say(json.dumps(found.as_json(), indent=2) if options.json else "\n".join(found.as_text()))
    return 0


def _check_out(options: argparse.Namespace) -> None:
    from speakerid.base.errors import UserError
    from speakerid.cli.destination import check_destination, corpus_files
    from speakerid.cli.kinds import PAGE_PICTURE

    if options.out.suffix.lower() != ".png":
        raise UserError(f"--out: found {options.out}, expected a name that ends in .png")
    inputs = [*corpus_files(options.corpus), *([options.bundle] if options.bundle else [])]
    check_destination(options.out, PAGE_PICTURE, inputs, "--out")
