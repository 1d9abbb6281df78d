"""Correct who speaks in a turn of a recording.

  speakerid correct speaker.safetensors meeting.wav 12:03 Anna
  speakerid correct speaker.safetensors meeting.wav 1:02:03.5 Ben --new
  speakerid correct speaker.safetensors --undo

The turn is the one at this time (seconds, minutes:seconds or hours:minutes:seconds) in the recording's timeline. Its
voice print is taken out of the profile it is in, if any, and added to the speaker's; --new enrolls a new speaker. From
then on, the timeline of the same recording gives the turn this name. --undo takes back the last correction.
"""

import argparse
from pathlib import Path

from speakerid.base.errors import UserError
from speakerid.cli.arguments import rate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="bundle to change, made by `speakerid export`")
    parser.add_argument("recording", nargs="?", type=Path, metavar="FILE", help="the recording")
    parser.add_argument("time", nargs="?", metavar="TIME", help="when the turn is, such as 12:03, 1:02:03.5 or 723")
    parser.add_argument("name", nargs="?", metavar="NAME", help="name of the speaker who speaks")
    parser.add_argument("--new", action="store_true", help="enroll a new speaker of this name")
    parser.add_argument("--undo", action="store_true", help="take back the last correction")
    parser.add_argument(
        "--false-accepts", type=rate, metavar="R", help="as for the timeline in which the turn was found, if given"
    )


def run(options: argparse.Namespace) -> int:
    from speakerid.base.printing import printable
    from speakerid.cli.destination import check_destination
    from speakerid.cli.kinds import BUNDLE
    from speakerid.cli.output import replacing
    from speakerid.recognition.recognizer import Recognizer
    from speakerid.recognition.timeline_labels import clock

    _check(options)
    recognizer = Recognizer.load(options.bundle)
    if not options.undo:
        check_destination(options.bundle, BUNDLE, [options.recording], "BUNDLE")
    with replacing(options.bundle):
        if options.undo:
            one = recognizer.undo()
        else:
            path, moment, name = options.recording, seconds_of(options.time), options.name
            one = recognizer.correct(path, moment, name, new=options.new, false_accepts=options.false_accepts)
    path = one.source or "samples" if options.undo else str(options.recording)
    where = f"{printable(path)}: {clock(one.start)} – {clock(one.end)}"
    name, former = printable(one.name), "a stranger" if one.former is None else printable(one.former)
    print(f"{where}: no longer {name}" if options.undo else f"{where}: {name}, was {former}")
    return 0


def seconds_of(text: str) -> float:
    """Seconds of a time such as 12:03, 1:02:03.5 or 723.5.

    Raises:
        UserError: the text is not a time.
    """
    import re

    found = re.fullmatch(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?)", text.strip(), re.ASCII)
    parts = [float(part or 0) for part in found.groups()] if found else []
    if not parts or (":" in text and parts[2] >= 60) or (text.count(":") > 1 and parts[1] >= 60):
        raise UserError(f"TIME: found {text!r:.40}, expected minutes:seconds, hours:minutes:seconds or seconds")
    return parts[0] * 3600 + parts[1] * 60 + parts[2]


def _check(options: argparse.Namespace) -> None:
    """Check which arguments were given.

    Raises:
        UserError: arguments are missing, or given with `--undo`.
    """
    given = [value for value in (options.recording, options.time, options.name) if value is not None]
    if options.undo and (given or options.new or options.false_accepts is not None):
        raise UserError("--undo: found with other arguments; expected speakerid correct BUNDLE --undo")
    if not options.undo and len(given) < 3:
        raise UserError("correct: expected BUNDLE FILE TIME NAME, or BUNDLE --undo")
