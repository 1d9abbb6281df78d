"""List the speakers of a bundle, and information on the bundle itself.

speakerid speakers speaker.safetensors
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="bundle, made by `speakerid export`")
    parser.add_argument("--json", action="store_true", help="one JSON object, with the model card")


def run(options: argparse.Namespace) -> int:
    import dataclasses

    from speakerid.base.printing import printable
    from speakerid.cli.output import json_line
    from speakerid.recognition.bundle import Bundle

    bundle = Bundle.load(options.bundle)
    profiles = bundle.profiles
    rows = list(zip(profiles.names, profiles.clips, profiles.trained, strict=True))
    if options.json:
        speakers = [{"name": name, "clips": clips, "trained": trained} for name, clips, trained in rows]
        measured = [dataclasses.asdict(row) for row in bundle.expected]
        print(json_line({"speakers": speakers, "expected": measured, "card": bundle.card}))
        return 0
    width = max(len(printable(name)) for name, _, _ in rows)
    for name, clips, trained in rows:
        print(f"{printable(name):<{width}}  {clips:>5} recordings, {'trained' if trained else 'enrolled'}")
    print(f"Thresholds fitted on {printable(bundle.fitted_on)}.")
    return 0
