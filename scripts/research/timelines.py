"""Measure how much of a conversation `identify --timeline` labels correctly.

  python scripts/prepare.py RECORDINGS data/voices --test-fraction 0.3 --strangers 4
  python scripts/train.py --config configs/few_minutes.yaml data.root=data/voices run_dir=runs/voices
  speakerid export runs/voices/best.pt voices.safetensors
  python scripts/research/timelines.py voices.safetensors data/voices --strangers OTHERS

Test utterances of CORPUS, which the bundle was not trained on, are combined into conversations of four people, one of
them a stranger if there are any: 40 turns of one to three random utterances of one session of the speaker, with up to
a second of silence in between, without the pauses in the utterances and without overlapping speech. Each conversation
then passes through its own simulated occasion: a room, a microphone, noise and a codec (`--clean` omits that, for
recordings whose sessions are real). `--live` feeds them to `speakerid listen` as well, faster than they were spoken:
what it shows at a moment is compared with who speaks then, so its delay counts as an error.

Shares are of the time in which a known speaker or a stranger speaks: mean over the conversations, in brackets the 95 %
interval of a bootstrap over them. The identification and the diarization error rate are those of pyannote.metrics (the
extra `compare`), without a collar and with one of 0.25 s on either side of a turn's boundaries.

With `--people`, the diarization error rate alone is measured, with the collar, for conversations of these numbers of
people of whom none, half or all are known: with all strangers as one voice, with strangers distinguished, and with
Resemblyzer's pretrained encoder and the same clustering (`open_set/pretrained_timelines.py`).

  python scripts/research/timelines.py voices.safetensors data/voices --strangers OTHERS --people 2 4 6
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from speakerid import UserError
from speakerid.cli import exit_with
from speakerid.cli.arguments import positive

if TYPE_CHECKING:
    from open_set.conversations import Conversation
    from speakerid import Recognizer
    from speakerid.preparation.sources.recordings import Recording


def main() -> int:
    options = _parser().parse_args()

    from open_set.conversations import conversation  # heavy imports, which --help does without
    from open_set.error_rates import NEEDED, installed
    from speakerid import Recognizer, open_corpus
    from speakerid.audio.codec_simulation import check_codecs
    from speakerid.preparation import recordings_table
    from speakerid.preparation.sources.layouts import scan

    if not options.clean:
        check_codecs("without --clean")
    recognizer = Recognizer.load(options.bundle)
    recordings = recordings_table.read(options.corpus)
    tests = open_corpus(options.corpus, "test")[0].test
    known = [recordings[one.feature_path] for one in tests if one.speaker in recognizer.speakers]
    strangers = scan(options.strangers).recordings if options.strangers else []
    if options.people:
        return _by_people(options, recognizer, known, strangers)
    numbers = range(options.first, options.first + options.conversations)
    features = recognizer.bundle.features
    talks = [conversation(known, strangers, features, number, not options.clean) for number in numbers]
    minutes = sum(talk.turns[-1][1] for talk in talks) / 60
    print(f"{len(talks)} conversations, {minutes:.0f} minutes")
    for rule, false_accepts in {"default": None, "--false-accepts 0.01": 0.01}.items():
        print(f"\n{rule}:\n")
        _measure(recognizer, talks, false_accepts)
        if options.live:
            _measure_live(recognizer, talks, false_accepts)
    if not installed():
        print(f"\nidentification and diarization error rates need {NEEDED}; pip install -e '.[compare]'")
    return 0


def _by_people(
    options: argparse.Namespace, recognizer: "Recognizer", known: "list[Recording]", strangers: "list[Recording]"
) -> int:
    """Print diarization error rates by the number of people and of strangers among them."""
    from dataclasses import replace

    from open_set.conversations import conversation
    from open_set.error_rates import NEEDED, error_rates, installed
    from open_set.pretrained_timelines import PretrainedTimelines, corpus_recordings
    from open_set.tables import interval
    from result_tables import markdown
    from speakerid.base.extras import installed as has

    if not (installed() and has("resemblyzer") and strangers):
        raise UserError(f"--people: needs --strangers, {NEEDED} and resemblyzer; pip install -e '.[compare]'")
    training, others = (corpus_recordings(options.corpus, part) for part in ("labelled", "strangers"))
    pretrained = PretrainedTimelines(training, others, recognizer.bundle)
    numbers = range(options.first, options.first + options.conversations)
    rows = []
    for people in options.people:
        for who, guests in {"none": people, "half": people // 2, "all": 0}.items():
            found: list[list[float]] = []
            for number in numbers:
                settings = recognizer.bundle.features, number, not options.clean, people, guests, options.turns
                talk = conversation(known, strangers, *settings)
                mine = recognizer.timeline(talk.waveform, talk.sample_rate)
                one = [replace(segment, stranger=None) for segment in mine]
                said = one, mine, pretrained(talk.waveform, talk.sample_rate)
                rates = [error_rates(talk.turns, some, recognizer.speakers)["diarization error"] for some in said]
                counted = [len({segment.stranger for segment in some} - {None}) for some in said[1:]]
                found.append([*rates, *counted])
            cells = [interval([row[column] for row in found]) for column in range(3)]
            counts = [f"{sum(row[column] for row in found) / len(found):.1f}" for column in (3, 4)]
            rows.append([str(people), who, *cells, str(guests), *counts])
            print(" ".join(rows[-1]), file=sys.stderr)
    head = [
        "people", "known", "strangers one voice", "strangers distinguished", "Resemblyzer", "strangers",
        "found", "voices found by Resemblyzer",
    ]  # fmt: skip
    print(markdown(head, rows))
    return 0


def _measure(recognizer: "Recognizer", talks: "Sequence[Conversation]", false_accepts: float | None) -> None:
    """Print how well timelines label the conversations."""
    from open_set.conversations import seconds
    from open_set.error_rates import COLLAR, error_rates, installed
    from open_set.tables import rates, shares

    said = [recognizer.timeline(talk.waveform, talk.sample_rate, false_accepts) for talk in talks]
    pairs = list(zip(talks, said, strict=True))
    print(shares([seconds(talk.turns, segments, recognizer.speakers) for talk, segments in pairs]))
    for collar in (0.0, COLLAR) if installed() else ():
        by = [error_rates(talk.turns, segments, recognizer.speakers, collar) for talk, segments in pairs]
        print(f"\ncollar {collar / 2:g} s to either side: {rates(by)}")


def _measure_live(recognizer: "Recognizer", talks: "Sequence[Conversation]", false_accepts: float | None) -> None:
    """Print how well a stream labels the conversations, and how late."""
    from open_set.conversations import seconds
    from open_set.live import changes_of, delay_table, shown
    from open_set.tables import shares

    said = [shown(changes_of(recognizer.live(false_accepts), talk), talk.turns[-1][1]) for talk in talks]
    pairs = list(zip(talks, said, strict=True))
    print(f"\nlive:\n\n{shares([seconds(talk.turns, shown, recognizer.speakers) for talk, shown in pairs])}\n")
    print(delay_table(pairs, recognizer))


def _parser() -> argparse.ArgumentParser:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="a bundle trained on CORPUS")
    parser.add_argument("corpus", type=Path, metavar="CORPUS", help="a prepared corpus with test utterances")
    parser.add_argument("--strangers", type=Path, metavar="OTHERS", help="recordings of people who are not in CORPUS")
    parser.add_argument("--conversations", type=positive, default=20, metavar="N", help="default 20")
    parser.add_argument("--first", type=positive, default=1, metavar="N", help="number of the first one (default 1)")
    parser.add_argument("--people", type=positive, nargs="+", metavar="N", help="measure the diarization error rate")
    parser.add_argument("--turns", type=positive, metavar="N", help="turns of a conversation, with --people")
    parser.add_argument("--clean", action="store_true", help="no simulated occasions")
    parser.add_argument("--live", action="store_true", help="also measure `speakerid listen`")
    return parser


if __name__ == "__main__":
    exit_with(main)
