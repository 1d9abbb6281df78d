"""List the speakers of a bundle, and information on the bundle itself.

  speakerid speakers speaker.safetensors
  speakerid speakers page/

For a page of `export --to web`, these are the speakers in its folder, without those enrolled in a browser.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="bundle or page, made by `speakerid export`")
    parser.add_argument("--json", action="store_true", help="one JSON object, with the model card")


def run(options: argparse.Namespace) -> int:
    import dataclasses
    from collections import Counter

    from speakerid.base.printing import printable
    from speakerid.cli.output import json_line
    from speakerid.recognition.bundle import Bundle

    if options.bundle.is_dir():
        return _run_page(options)
    bundle = Bundle.load(options.bundle)
    profiles = bundle.profiles
    rows = list(zip(profiles.names, profiles.clips, profiles.trained, strict=True))
    corrections = Counter(one.name for one in bundle.kept.corrections)
    prints = Counter(one.name for one in bundle.kept.prints)
    if options.json:
        speakers = [
            {"name": name, "clips": clips, "trained": trained, "prints": prints[name], "corrections": corrections[name]}
            for name, clips, trained in rows
        ]
        measured = [dataclasses.asdict(row) for row in bundle.expected]
        print(json_line({"speakers": speakers, "expected": measured, "card": bundle.card}))
        return 0
    _print(rows, corrections)
    print(f"Thresholds fitted on {printable(bundle.fitted_on)}.")
    return 0


def _run_page(options: argparse.Namespace) -> int:
    from speakerid.cli.output import json_line
    from speakerid.deployment.web_page import read_page

    speakers = read_page(options.bundle).speakers
    if options.json:
        print(json_line({"speakers": [speaker.model_dump(exclude={"centers"}) for speaker in speakers]}))
    else:
        _print([(speaker.name, speaker.clips, speaker.trained) for speaker in speakers])
    return 0


def _print(rows: Sequence[tuple[str, int, bool]], corrections: Mapping[str, int] | None = None) -> None:
    from speakerid.base.printing import counted, printable

    width = max((len(printable(name)) for name, _, _ in rows), default=0)
    for name, clips, trained in rows:
        turns = (corrections or {}).get(name, 0)
        corrected = f", {counted(turns, 'turn')} corrected" if turns else ""
        recordings = "recording" if clips == 1 else "recordings"
        origin = "trained" if trained else "enrolled"
        print(f"{printable(name):<{width}}  {clips:>5} {recordings}, {origin}{corrected}")
