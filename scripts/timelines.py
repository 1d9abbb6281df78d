"""How much of a conversation `identify --timeline` names rightly.

  python scripts/prepare.py RECORDINGS data/voices --test-fraction 0.3 --strangers 4
  python scripts/train.py --config configs/few_minutes.yaml data.root=data/voices run_dir=runs/voices
  speakerid export runs/voices/best.pt voices.safetensors
  python scripts/timelines.py voices.safetensors data/voices --strangers OTHERS

Test utterances of CORPUS, which the bundle has not heard, are put together to conversations of four people, one of
them a stranger if there are any: 40 turns of one to three utterances, drawn, with up to a second of silence in between,
pauses in the utterances cut, nobody speaking at once. Shares are of the time in which somebody known or a stranger
speaks: mean over the conversations, in brackets the 95 % interval of a bootstrap over them.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from speakerid.cli import exit_with
from speakerid.cli.arguments import positive


def main() -> int:
    options = _parser().parse_args()

    from open_set.conversations import conversation, shares  # heavy imports, which --help does without
    from speakerid.corpus import sources
    from speakerid.corpus.check import open_corpus
    from speakerid.corpus.layouts import scan
    from speakerid.recognition.recognizer import Recognizer

    recognizer = Recognizer.load(options.bundle)
    recordings = sources.read(options.corpus)
    tests = open_corpus(options.corpus, "test")[0].test
    known = [recordings[one.feature_path] for one in tests if one.speaker in recognizer.bundle.profiles.names]
    strangers = scan(options.strangers).recordings if options.strangers else []
    features = recognizer.bundle.features
    talks = [conversation(known, strangers, features, number) for number in range(options.conversations)]
    minutes = sum(talk.turns[-1][1] for talk in talks) / 60
    print(f"{len(talks)} conversations, {minutes:.0f} minutes\n")
    print(_row(["said", "known speakers", "strangers"]))
    print("|---|---|---|")
    for rate in (None, 0.01):
        rows = [shares(recognizer, talk, rate) for talk in talks]
        rule = "default" if rate is None else f"`--false-accepts {rate:g}`"
        for line in _lines(rule, [row[True] for row in rows], [row[False] for row in rows]):
            print(line)
    return 0


def _lines(rule: str, known: Sequence[Counter[str]], strangers: Sequence[Counter[str]]) -> list[str]:
    from open_set.conversations import RIGHT, SAID

    return [
        _row([f"{rule}: {said}", _share(known, said), "" if said == RIGHT else _share(strangers, said)])
        for said in SAID
    ]


def _share(heard: Sequence[Counter[str]], said: str) -> str:
    import numpy as np

    shares = np.array([100 * one[said] / one.total() for one in heard if one.total()])
    if not len(shares):
        return ""
    drawn = np.random.default_rng(0).integers(len(shares), size=(1000, len(shares)))
    low, high = np.quantile(shares[drawn].mean(1), (0.025, 0.975))
    return f"{shares.mean():.1f} ({low:.1f} to {high:.1f})"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _parser() -> argparse.ArgumentParser:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="trained on CORPUS")
    parser.add_argument("corpus", type=Path, metavar="CORPUS", help="of `prepare`, with test utterances")
    parser.add_argument(
        "--strangers", type=Path, metavar="OTHERS", help="recordings of people that no part of CORPUS has"
    )
    parser.add_argument("--conversations", type=positive, default=20, metavar="N", help="default 20")
    return parser


if __name__ == "__main__":
    exit_with(main)
