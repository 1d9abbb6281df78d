"""Rename a speaker of a bundle.

speakerid rename speaker.safetensors id03074 Anna
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="bundle to change, made by `speakerid export`")
    parser.add_argument("old", metavar="OLD", help="current name of the speaker")
    parser.add_argument("new", metavar="NEW", help="new name")


def run(options: argparse.Namespace) -> int:
    from speakerid.base.printing import printable
    from speakerid.cli.output import replacing
    from speakerid.recognition.recognizer import Recognizer

    recognizer = Recognizer.load(options.bundle)
    with replacing(options.bundle):
        recognizer.rename(options.old, options.new)
    print(f"{printable(options.old)}: renamed to {printable(options.new)}")
    return 0
