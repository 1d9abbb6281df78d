"""Compare what `speakerid plan` predicts from a part of a corpus with what all of it brings.

  python scripts/research/plans.py CORPUS CORPUS

For every corpus, the curve is measured once. Predictions are made from the amounts with fewer days, and from those with
about half of the recordings per day, and compared with the accuracy that was measured with the most of both. Speakers
and test days are the same on both sides.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from speakerid.cli import exit_with
from speakerid.cli.arguments import positive

if TYPE_CHECKING:
    from speakerid.evaluation.learning_curve import LearningCurve


def main() -> int:
    options = _parser().parse_args()

    from result_tables import markdown
    from speakerid import Recognizer, open_corpus
    from speakerid.evaluation.learning_curve import measure
    from speakerid.evaluation.recording_plan import recordings_of

    recognizer = None if options.bundle is None else Recognizer.load(options.bundle)
    lines = []
    for path in options.corpora:
        corpus, store = open_corpus(path)
        curve = measure(recordings_of(corpus, store, recognizer, lambda _: None), options.draws)
        lines += [[path.name, *cells] for cells in _cases(curve)]
    print(markdown(["corpus", "from", "to", "before", "predicted", "measured"], lines))
    return 0


def _cases(curve: "LearningCurve") -> list[list[str]]:
    """Cells of a line for each prediction."""
    from speakerid.evaluation.extrapolation import interval, predict
    from speakerid.evaluation.learning_curve import Amount

    days, each = (max(one) for one in zip(*((a.days, a.each) for a in curve.amounts), strict=True))
    half = min(sorted({a.each for a in curve.amounts}), key=lambda one: abs(one - each / 2))
    target = Amount(days, each)
    parts = [(days, half), *([(days - 1, each), (days - 1, half)] if days > 2 else [])]
    lines = []
    for part in parts:
        known = curve.until(*part)
        expected, values = predict(known, [target])
        low, high = interval(values)
        before = known.hits[known.amounts.index(Amount(*part))].mean()
        came = curve.hits[curve.amounts.index(target)].mean()
        lines.append(
            [
                f"{part[0]} × {part[1]:g}", f"{days} × {each:g}", f"{100 * before:.1f}",
                f"{100 * expected[0]:.1f} ({100 * low[0]:.1f} to {100 * high[0]:.1f})", f"{100 * came:.1f}",
            ]
        )  # fmt: skip
    return lines


def _parser() -> argparse.ArgumentParser:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("corpora", type=Path, nargs="+", metavar="CORPUS", help="prepared corpora")
    parser.add_argument("--bundle", type=Path, metavar="BUNDLE", help="use its voice prints")
    parser.add_argument("--draws", type=positive, default=20, metavar="N", help="default 20")
    return parser


if __name__ == "__main__":
    exit_with(main)
