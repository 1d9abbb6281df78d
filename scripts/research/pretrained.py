"""Compare a pretrained encoder with a trained one behind the same thresholds, on a few recordings a speaker.

  python scripts/research/resemblyzer_onnx.py resemblyzer.onnx
  python scripts/research/pretrained.py VOICES runs/pretrained --encoder resemblyzer.onnx --features waveform

VOICES has a folder of recordings for each speaker. Every fourth speaker is a stranger. Of each of the others, the first
recordings, in the order of their names, are enrolled: `few_minutes` is trained on them, and `export --encoder` makes
profiles of them. The last 30 % of every speaker's recordings are the test; with fewer than 20 others, all of them are
enrolled. Shares are means of speakers.
"""

import argparse
import csv
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from speakerid import Bundle, Recognizer, decode, make_bundle
from speakerid.audio.frontends import KINDS
from speakerid.audio.log_mel import trim
from speakerid.cli import run
from speakerid.preparation.prepare import Options, prepare
from speakerid.recognition.make_pretrained import make_pretrained_bundle

TEST = 0.3
"""Share of each speaker's recordings that are the test."""
DURATIONS = (1.0, 2.0, None)
"""Seconds taken from the middle of a recording without pauses; None for all."""
COLUMNS = ("recordings", "encoder", "duration", "first_right", "named_right", "named_wrong", "strangers_named")


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("voices", type=Path, metavar="VOICES", help="folder with a folder for each speaker")
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="folder for corpora, runs and results.csv")
    parser.add_argument("--encoder", type=Path, required=True, metavar="FILE", help="model in ONNX")
    parser.add_argument("--features", choices=KINDS, required=True, help="its features")
    parser.add_argument("--recordings", type=int, nargs="+", default=[5, 20], metavar="N", help="numbers to enroll")
    parser.add_argument("--only-pretrained", action="store_true", help="train nothing")
    options = parser.parse_args(arguments)
    people = sorted(path for path in options.voices.iterdir() if path.is_dir())
    strangers = people[3::4]
    known = [path for path in people if path not in strangers]
    rows = []
    for count in options.recordings:
        for name, bundle in bundles(options, known, count):
            for row in measured(bundle, known, strangers):
                rows.append((count, name, *row))
                print(*rows[-1], sep="\t", flush=True)
    with (options.output / "results.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])


def parts(folder: Path, count: int) -> tuple[list[Path], list[Path]]:
    """The first recordings of a speaker, at most `count`, and those of the test."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    tested = round(TEST * len(files))
    return files[: min(count, len(files) - tested)], files[len(files) - tested :]


def bundles(options: argparse.Namespace, known: Sequence[Path], count: int) -> Iterator[tuple[str, Bundle]]:
    """Bundles of the pretrained encoder and of a trained one."""
    folder = options.output / str(count)
    recordings, corpus = folder / "recordings", folder / "corpus"
    for person in known:
        (recordings / person.name).mkdir(parents=True, exist_ok=True)
        for path in parts(person, count)[0]:
            link = recordings / person.name / path.name
            if not link.exists():
                link.symlink_to(path.absolute())
    prepare(recordings, corpus, Options(layout_out="packed"))
    yield options.encoder.stem, make_pretrained_bundle(options.encoder, options.features, corpus)
    if not options.only_pretrained:
        checkpoint = folder / "run" / "best.pt"
        if not checkpoint.exists():
            config = Path(__file__).resolve().parents[2] / "configs" / "few_minutes.yaml"
            run(["train", "--config", str(config), "--quiet", f"data.root={corpus}", f"run_dir={folder / 'run'}"])
        yield "few_minutes", make_bundle(checkpoint)


def measured(bundle: Bundle, known: Sequence[Path], strangers: Sequence[Path]) -> Iterator[tuple[str, ...]]:
    """Rows of shares, by duration."""
    recognizer, features = Recognizer(bundle), bundle.features
    for seconds in DURATIONS:
        shares = []
        for person in [*known, *strangers]:
            said = []
            for path in parts(person, 0)[1]:
                sound = decode(path)
                samples = trim(sound.waveform, sound.sample_rate, features)
                size = len(samples) if seconds is None else min(len(samples), round(seconds * features.sample_rate))
                first = (len(samples) - size) // 2
                answer = recognizer.identify(samples[first : first + size], features.sample_rate, top=1)
                best = answer.ranking[0][0] if answer.ranking else None
                named = answer.name is not None
                said.append((best == person.name, answer.name == person.name, named and answer.name != person.name))
            shares.append(np.mean(said, axis=0))
        ours, others = np.mean(shares[: len(known)], axis=0), np.mean(shares[len(known) :], axis=0)
        duration = "whole" if seconds is None else f"{seconds:g} s"
        yield duration, *(f"{100 * share:.1f}" for share in (*ours, others[2]))


if __name__ == "__main__":
    main(sys.argv[1:])
