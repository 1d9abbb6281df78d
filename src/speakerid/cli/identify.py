"""Who speaks in recordings: a name with its probability, or that it is nobody known.

  speakerid identify speaker.safetensors hello.wav calls/ 'meeting*.m4a'

Files, folders and patterns; of each recording one speaker. The threshold was fitted for the given rate of false
accepts, by the duration of the sound; what is under 0.5 s, silent or broken is said to be that.

With --timeline: who speaks when, in recordings of any length with several speakers.

  speakerid identify speaker.safetensors meeting.m4a --timeline --rttm meeting.rttm --picture meeting.png

A name is then said where it is more probable than that it is nobody known, unless --false-accepts asks for a threshold.
"""

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from speakerid.cli.arguments import add_false_accepts, positive
from speakerid.errors import UserError

FEW = 20
"""Recordings that are done before a progress bar could be read."""
TOP = 3

if TYPE_CHECKING:
    from speakerid.recognition.answers import Answer
    from speakerid.recognition.recognizer import Recognizer
    from speakerid.recognition.timeline import Segment


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="made by `speakerid export`")
    parser.add_argument("recordings", nargs="+", metavar="FILE", help="recordings, folders of them, or patterns")
    parser.add_argument("--top", type=positive, metavar="N", help="length of the ranking (default 3)")
    add_false_accepts(parser)
    parser.set_defaults(false_accepts=None)  # of a timeline it is another one
    parser.add_argument("--timeline", action="store_true", help="who speaks when")
    parser.add_argument("--rttm", type=Path, metavar="FILE", help="write the timelines in NIST's format as well")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the timeline: .png, .svg or .pdf")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object a line")
    form.add_argument("--csv", action="store_true", help="a table with a header")


def run(options: argparse.Namespace) -> int:
    import sys

    from speakerid.bars import bar
    from speakerid.recognition.finding import find_recordings
    from speakerid.recognition.recognizer import FALSE_ACCEPTS, Recognizer

    _check(options)
    recognizer = Recognizer.load(options.bundle)
    paths = find_recordings(options.recordings)
    if options.timeline:
        return _timelines(options, recognizer, paths)
    false_accepts = FALSE_ACCEPTS if options.false_accepts is None else options.false_accepts
    broken = 0

    def answers() -> Iterator[tuple[Path, "Answer"]]:
        with bar(len(paths), "Identify", "files", shown=len(paths) > FEW) as advance:
            many = recognizer.identify_many(paths, false_accepts, options.top or TOP)
            for path, answer in zip(paths, many, strict=True):
                yield path, answer
                advance(1)

    write = _write_json if options.json else _write_csv if options.csv else _write_text
    for answer in write(sys.stdout, answers()):
        broken += answer.said == "broken"
    return 1 if broken else 0


def _check(options: argparse.Namespace) -> None:
    if options.timeline and options.top is not None:
        raise UserError("--top: found with --timeline, which has no ranking; leave it out")
    for name in ("rttm", "picture"):
        if getattr(options, name) is not None and not options.timeline:
            raise UserError(f"--{name}: found without --timeline; add it")


def _timelines(options: argparse.Namespace, recognizer: "Recognizer", paths: Sequence[Path]) -> int:
    import sys

    from speakerid.bars import bar
    from speakerid.files import atomic_file
    from speakerid.recognition.timeline import timeline
    from speakerid.recognition.timeline_files import as_rttm, as_text, check_format, draw

    if options.picture is not None:
        check_format(options.picture)
        if len(paths) > 1:
            raise UserError(f"--picture: found {len(paths)} recordings, expected one; draw them one by one")
    found: dict[Path, list[Segment]] = {}
    with bar(len(paths), "Timeline", "files", shown=len(paths) > 1) as advance:
        for path in paths:
            try:
                found[path] = timeline(recognizer, path, options.false_accepts)
            except UserError as error:
                print(f"error: {error}", file=sys.stderr)
            advance(1)
    if options.json or options.csv:
        _write_segments(sys.stdout, found, as_csv=options.csv)
    else:
        for path, segments in found.items():
            for line in as_text(segments) or ["nobody is heard"]:
                print(f"{path}: {line}" if len(paths) > 1 else line)
    if options.rttm is not None:
        with atomic_file(options.rttm) as partial:
            lines = "".join(as_rttm(segments, path.stem) for path, segments in found.items())
            partial.write_text(lines, encoding="utf-8")
    if options.picture is not None:
        for path, segments in found.items():
            draw(segments, path.name, options.picture)
    return 1 if len(found) < len(paths) else 0


def _write_segments(file: TextIO, found: Mapping[Path, Sequence["Segment"]], as_csv: bool) -> None:
    import csv
    import json

    header = ["file", "start", "end", "name", "probability"]
    rows = [
        [str(path), round(s.start, 3), round(s.end, 3), s.name, round(s.probability, 6)]
        for path, segments in found.items()
        for s in segments
    ]
    if as_csv:
        csv.writer(file).writerows([header, *rows])
    else:
        for row in rows:
            print(json.dumps(dict(zip(header, row, strict=True)), ensure_ascii=False), file=file)


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
