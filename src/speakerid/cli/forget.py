"""Delete a speaker and all of their voice prints from a bundle.

  speakerid forget speaker.safetensors Anna

Copies of the bundle, the checkpoint and the recordings are not changed.
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="bundle to change, made by `speakerid export`")
    parser.add_argument("name", metavar="NAME", help="name of the speaker")


def run(options: argparse.Namespace) -> int:
    from speakerid.base.printing import printable
    from speakerid.cli.output import replacing
    from speakerid.recognition.recognizer import Recognizer

    recognizer = Recognizer.load(options.bundle)
    with replacing(options.bundle):
        recognizer.forget(options.name)
    print(f"{printable(options.name)}: forgotten; {len(recognizer.speakers)} speakers are left")
    return 0
