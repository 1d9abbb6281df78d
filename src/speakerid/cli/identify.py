"""Identify the speaker of recordings: a name with its probability, or unknown.

  speakerid identify speaker.safetensors hello.wav calls/ 'meeting*.m4a'

Arguments are files, folders and patterns; each recording has one speaker. The threshold depends on the rate of false
accepts and on the duration of the sound. Recordings that are shorter than 0.5 s, silent or broken are reported as such.

With --timeline: who speaks when, in recordings of any length with several speakers.

  speakerid identify speaker.safetensors meeting.m4a --timeline --rttm meeting.rttm --picture meeting.png

A timeline gives the name of a speaker who is more probable than an unknown one, unless --false-accepts is given.
Strangers are numbered in the order in which they appear: "stranger 1" is one voice in all recordings of a call.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from speakerid.base.errors import UserError
from speakerid.cli.arguments import add_false_accepts, positive
from speakerid.cli.output import complain, named_recordings
from speakerid.recognition import FALSE_ACCEPTS

MAX_WITHOUT_BAR = 20
"""Maximum number of recordings without a progress bar."""
TOP = 3
"""Default length of the ranking."""

if TYPE_CHECKING:
    from speakerid.recognition.recognizer import Recognizer
    from speakerid.recognition.results import Answer
    from speakerid.recognition.timeline import Speech


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="bundle, made by `speakerid export`")
    parser.add_argument("recordings", nargs="+", metavar="FILE", help="recordings, folders of them, or patterns")
    parser.add_argument("--top", type=positive, metavar="N", help="length of the ranking (default 3)")
    add_false_accepts(parser)
    parser.set_defaults(false_accepts=None)  # timelines have another default
    parser.add_argument("--timeline", action="store_true", help="who speaks when")
    parser.add_argument("--rttm", type=Path, metavar="FILE", help="also write the timelines in NIST's RTTM format")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the timeline: .png, .svg or .pdf")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object per line")
    form.add_argument("--csv", action="store_true", help="a table with a header")


def run(options: argparse.Namespace) -> int:
    import sys

    from speakerid.base.progress import Bar
    from speakerid.cli.output_formats import write_csv, write_json, write_text
    from speakerid.recognition.recognizer import Recognizer

    _check(options)
    recognizer = Recognizer.load(options.bundle)
    paths = named_recordings(options.recordings)
    if options.timeline:
        return _timelines(options, recognizer, paths)
    false_accepts = FALSE_ACCEPTS if options.false_accepts is None else options.false_accepts
    broken = 0

    def answers() -> Iterator[tuple[Path, "Answer"]]:
        with Bar("Identify", "files", len(paths), shown=len(paths) > MAX_WITHOUT_BAR) as bar:
            many = recognizer.identify_many(paths, false_accepts, options.top or TOP)
            for path, answer in zip(paths, many, strict=True):
                yield path, answer
                bar.advance()

    write = write_json if options.json else write_csv if options.csv else write_text
    for answer in write(sys.stdout, answers()):
        broken += answer.said == "broken"
    return 1 if broken else 0


def _check(options: argparse.Namespace) -> None:
    if options.timeline and options.top is not None:
        raise UserError("--top: found with --timeline, which has no ranking; leave it out")
    for name in ("rttm", "picture"):
        if getattr(options, name) is not None and not options.timeline:
            raise UserError(f"--{name}: found without --timeline; add it")


def _check_outputs(options: argparse.Namespace, recognizer: "Recognizer", paths: Sequence[Path]) -> None:
    """Check before the work that the outputs can be written and will be unambiguous.

    Raises:
        UserError: an output is an input or a file of another kind, a picture is asked for with several recordings, or
            the name of a speaker is a label for strangers.
    """
    from speakerid.cli.destination import check_destination
    from speakerid.cli.kinds import FIGURE, RTTM
    from speakerid.recognition.timeline_files import check_format
    from speakerid.recognition.timeline_labels import check_names

    inputs = [options.bundle, *paths]
    if options.rttm is not None:
        check_destination(options.rttm, RTTM, inputs, "--rttm")
        inputs.append(options.rttm)
    if options.picture is not None:
        check_format(options.picture)
        check_destination(options.picture, FIGURE, inputs, "--picture")
        if len(paths) > 1:
            raise UserError(f"--picture: found {len(paths)} recordings, expected one; draw them one by one")
    if options.rttm or options.picture or not (options.json or options.csv):
        check_names(recognizer.speakers, options.bundle)


def _timelines(options: argparse.Namespace, recognizer: "Recognizer", paths: Sequence[Path]) -> int:
    import os
    import sys

    from speakerid.base.files import atomic_file
    from speakerid.base.printing import counted
    from speakerid.base.progress import Bar
    from speakerid.cli.output_formats import write_timelines
    from speakerid.recognition.corrections import changed_since
    from speakerid.recognition.timeline_files import as_rttm, draw

    _check_outputs(options, recognizer, paths)
    speech: dict[Path, Speech] = {}
    with Bar("Timeline", "files", len(paths), shown=len(paths) > 1) as bar:
        for path in paths:
            try:
                speech[path] = recognizer.speech(path, false_accepts=options.false_accepts)
            except UserError as error:
                complain(error)
            bar.advance()
    timelines = recognizer.timelines(speech.values(), false_accepts=options.false_accepts)
    found = dict(zip(speech, timelines, strict=True))
    for path, one in speech.items():
        if changed := changed_since(recognizer.bundle, os.path.abspath(path), one.digest):
            complain(f"{path}: has changed; {counted(changed, 'correction')} of its former content left out", "note")
    # Write the files first, so that they exist even if standard output cannot be written.
    if options.rttm is not None:
        with atomic_file(options.rttm) as partial:
            partial.write_text(as_rttm(found, paths, recognizer.speakers), encoding="utf-8")
    if options.picture is not None:
        for path, segments in found.items():
            draw(segments, path.name, options.picture)
    form = "json" if options.json else "csv" if options.csv else "text"
    write_timelines(sys.stdout, found, form, many=len(paths) > 1)
    return 1 if len(found) < len(paths) else 0
