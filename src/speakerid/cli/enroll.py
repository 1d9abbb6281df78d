"""Add a speaker to a bundle, without training: one recording is enough, three or more are better.

  speakerid enroll speaker.safetensors Anna anna1.wav anna2.wav anna3.wav
  speakerid enroll speaker.safetensors --add Anna another_day.wav

With --add the recordings are further ones of a speaker who is in the bundle, trained or enrolled: another day, another
microphone. A recording that was added before does not count again.
"""

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="made by `speakerid export`; it is changed")
    parser.add_argument("name", metavar="NAME", help="of the speaker")
    parser.add_argument("--add", action="store_true", help="more recordings of a speaker who is in the bundle")
    parser.add_argument("recordings", nargs="+", metavar="FILE", help="recordings, folders of them, or patterns")


def run(options: argparse.Namespace) -> int:
    from speakerid.recognition.finding import find_recordings
    from speakerid.recognition.recognizer import Recognizer

    recognizer = Recognizer.load(options.bundle)
    paths = find_recordings(options.recordings)
    enrollment = recognizer.enroll(options.name, paths, add=options.add)
    for line in enrollment.passed_over:
        print(f"passed over: {line}", file=sys.stderr)
    for line in enrollment.warnings:
        print(f"warning: {line}", file=sys.stderr)
    recordings = f"{enrollment.added} recording{'' if enrollment.added == 1 else 's'}"
    if options.add:
        print(f"{options.name}: {recordings} added, {enrollment.recordings} in all")
    else:
        print(f"{options.name}: enrolled from {recordings}; {len(recognizer.speakers)} speakers in all")
    return 0
