"""Who speaks in recordings: a name with its probability, or that it is nobody known.

  speakerid identify speaker.safetensors hello.wav calls/ 'meeting*.m4a'

Files, folders and patterns; of each recording one speaker. The threshold was fitted for the given rate of false
accepts, by the duration of the sound; what is under 0.5 s, silent or broken is said to be that.
"""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from speakerid.cli.arguments import add_false_accepts, positive

FEW = 20
"""Recordings that are done before a progress bar could be read."""

if TYPE_CHECKING:
    from speakerid.recognition.recognizer import Answer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="made by `speakerid export`")
    parser.add_argument("recordings", nargs="+", metavar="FILE", help="recordings, folders of them, or patterns")
    parser.add_argument("--top", type=positive, default=3, metavar="N", help="length of the ranking (default 3)")
    add_false_accepts(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object a line")
    form.add_argument("--csv", action="store_true", help="a table with a header")


def run(options: argparse.Namespace) -> int:
    import sys

    from speakerid.bars import bar
    from speakerid.recognition.finding import find_recordings
    from speakerid.recognition.recognizer import Recognizer

    recognizer = Recognizer.load(options.bundle)
    paths = find_recordings(options.recordings)
    broken = 0

    def answers() -> Iterator[tuple[Path, "Answer"]]:
        with bar(len(paths), "Identify", "files", shown=len(paths) > FEW) as advance:
            for path in paths:
                yield path, recognizer.identify(path, None, options.false_accepts, options.top)
                advance(1)

    write = _write_json if options.json else _write_csv if options.csv else _write_text
    for answer in write(sys.stdout, answers()):
        broken += answer.said == "broken"
    return 1 if broken else 0


def _write_text(file: TextIO, answers: Iterable[tuple[Path, "Answer"]]) -> Iterator["Answer"]:
    for path, answer in answers:
        ranking = ", ".join(f"{name} {probability:.1%}" for name, probability in answer.ranking)
        if answer.name is not None:
            others = ", ".join(f"{name} {probability:.1%}" for name, probability in answer.ranking[1:])
            line = f"{answer.name} {answer.probability:.1%}" + (f" (then {others})" if others else "")
        elif answer.said == "unknown":
            line = f"unknown (nearest: {ranking}; a name is said from {answer.threshold:.1%})"
        else:
            line = f"{answer.said}: {answer.reason}"
        print(f"{path}: {line}", file=file, flush=True)
        yield answer


def _write_json(file: TextIO, answers: Iterable[tuple[Path, "Answer"]]) -> Iterator["Answer"]:
    import json

    for path, answer in answers:
        print(json.dumps(_plain(path, answer), ensure_ascii=False), file=file, flush=True)
        yield answer


def _write_csv(file: TextIO, answers: Iterable[tuple[Path, "Answer"]]) -> Iterator["Answer"]:
    import csv

    writer = csv.writer(file)
    writer.writerow(["file", "answer", "name", "probability", "seconds", "threshold", "ranking", "reason"])
    for path, answer in answers:
        plain = _plain(path, answer)
        ranking = " ".join(f"{entry['name']}={entry['probability']:.4f}" for entry in plain["ranking"])
        writer.writerow([*(plain[key] for key in ("file", "answer", "name", "probability", "seconds", "threshold")),
                         ranking, plain["reason"]])  # fmt: skip
        yield answer


def _plain(path: Path, answer: "Answer") -> dict[str, Any]:
    def number(value: float) -> float | None:
        return round(value, 6) if value == value else None

    return {
        "file": str(path),
        "answer": answer.said,
        "name": answer.name,
        "probability": number(answer.probability),
        "ranking": [{"name": name, "probability": number(probability)} for name, probability in answer.ranking],
        "seconds": number(answer.seconds),
        "threshold": number(answer.threshold),
        "reason": answer.reason,
    }
