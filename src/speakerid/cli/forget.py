"""Delete a speaker and all of their voice prints from a bundle, or from a page of `export --to web`.

  speakerid forget speaker.safetensors Anna
  speakerid forget page/ Anna

Copies of the bundle, the checkpoint and the recordings are not changed.
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "bundle", type=Path, metavar="BUNDLE", help="bundle or page to change, made by `speakerid export`"
    )
    parser.add_argument("name", metavar="NAME", help="name of the speaker")


def run(options: argparse.Namespace) -> int:
    from speakerid.base.printing import counted, printable
    from speakerid.cli.output import replacing

    if options.bundle.is_dir():
        from speakerid.deployment.web_page import PROFILES, forget_in_page, read_page

        read_page(options.bundle)  # before its profiles are looked at
        with replacing(options.bundle / PROFILES):
            left = forget_in_page(options.bundle, options.name)
    else:
        from speakerid.recognition.recognizer import Recognizer

        recognizer = Recognizer.load(options.bundle)
        with replacing(options.bundle):
            recognizer.forget(options.name)
        left = len(recognizer.speakers)
    print(f"{printable(options.name)}: forgotten; {counted(left, 'speaker')} {'is' if left == 1 else 'are'} left")
    return 0
