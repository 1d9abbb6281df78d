"""Add a speaker to a bundle, without training: one recording is enough, three or more are better.

speakerid enroll speaker.safetensors Anna anna1.wav anna2.wav anna3.wav
"""

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="made by `speakerid export`; it is changed")
    parser.add_argument("name", metavar="NAME", help="of the speaker")
    parser.add_argument("recordings", nargs="+", metavar="FILE", help="recordings, folders of them, or patterns")


def run(options: argparse.Namespace) -> int:
    from speakerid.recognition.finding import find_recordings
    from speakerid.recognition.recognizer import Recognizer

    recognizer = Recognizer.load(options.bundle)
    paths = find_recordings(options.recordings)
    passed = recognizer.enroll(options.name, paths)
    for line in passed:
        print(f"passed over: {line}", file=sys.stderr)
    count = len(paths) - len(passed)
    print(f"{options.name}: enrolled from {count} recordings; {len(recognizer.speakers)} speakers in all")
    return 0
