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
from pathlib import Path

from speakerid.cli import exit_with
from speakerid.cli.arguments import positive


def main() -> int:
    options = _parser().parse_args()

    from open_set.conversations import conversation, shares  # heavy imports, which --help does without
    from open_set.tables import timelines
    from speakerid.corpus import recordings_table
    from speakerid.corpus.check import open_corpus
    from speakerid.corpus.layouts import scan
    from speakerid.recognition.recognizer import Recognizer

    recognizer = Recognizer.load(options.bundle)
    recordings = recordings_table.read(options.corpus)
    tests = open_corpus(options.corpus, "test")[0].test
    known = [recordings[one.feature_path] for one in tests if one.speaker in recognizer.bundle.profiles.names]
    strangers = scan(options.strangers).recordings if options.strangers else []
    features = recognizer.bundle.features
    talks = [conversation(known, strangers, features, number) for number in range(options.conversations)]
    minutes = sum(talk.turns[-1][1] for talk in talks) / 60
    print(f"{len(talks)} conversations, {minutes:.0f} minutes\n")
    rules = {"default": None, "`--false-accepts 0.01`": 0.01}
    print(timelines({rule: [shares(recognizer, talk, rate) for talk in talks] for rule, rate in rules.items()}))
    return 0


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
