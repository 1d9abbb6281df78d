"""Verify whether two recordings have the same speaker, known or unknown: score, probability, decision.

  speakerid verify speaker.safetensors one.wav other.wav

The threshold depends on the duration of the sound in the shorter recording, which is printed. The exit status is 0 for
the same speaker, 1 for different ones.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from speakerid.base.errors import UserError
from speakerid.cli.arguments import add_false_accepts

if TYPE_CHECKING:
    from speakerid.recognition.recognizer import Recognizer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="bundle, made by `speakerid export`")
    parser.add_argument("first", type=Path, metavar="A", help="first recording")
    parser.add_argument("second", type=Path, metavar="B", help="second recording")
    add_false_accepts(parser, "pairs of different speakers that may be accepted")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(options: argparse.Namespace) -> int:
    import dataclasses

    from speakerid.cli.output import json_line
    from speakerid.recognition.recognizer import Recognizer
    from speakerid.recognition.results import Unheard

    recognizer = Recognizer.load(options.bundle)
    try:
        verdict = recognizer.verify(options.first, options.second, false_accepts=options.false_accepts)
    except Unheard as error:
        raise UserError("; ".join(_unheard(recognizer, options)) or str(error)) from error
    if options.json:
        print(json_line(dataclasses.asdict(verdict)))
    else:
        answer = "same speaker" if verdict.same else "different speakers"
        print(
            f"{answer}: score {verdict.score:.3f}, probability {verdict.probability:.1%}, threshold "
            f"{verdict.threshold:.1%}; {verdict.seconds:.1f} s of sound"
        )
    return 0 if verdict.same else 1


def _unheard(recognizer: "Recognizer", options: argparse.Namespace) -> Iterator[str]:
    """Say what is wrong with which of the two recordings."""
    from speakerid.recognition.results import Unheard

    for name, path in (("A", options.first), ("B", options.second)):
        try:
            recognizer.listen(path)
        except Unheard as error:
            yield f"{name}: {path}: {error.said}: {error}"
