"""Make a bundle of a checkpoint: one file that recognises speakers, and strangers.

  speakerid export runs/mine/best.pt speaker.safetensors

Voice prints are made of the utterances the checkpoint was trained on; thresholds are fitted on its validation
utterances and on the corpus's strangers (prepare --strangers N). What can be expected of them is printed, and kept in
the bundle.
"""

import argparse
from pathlib import Path

from speakerid.cli.output import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="best.pt of a run")
    parser.add_argument("output", type=Path, metavar="BUNDLE", help="to write, speaker.safetensors for instance")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="its corpus (default: where it was trained on)")


def run(options: argparse.Namespace) -> int:
    from speakerid.recognition.exporting import make_bundle

    bundle = make_bundle(options.checkpoint, options.data)
    bundle.save(options.output)
    say(f"{len(bundle.profiles.names)} speakers: {options.output}")
    say(f"Thresholds fitted on {bundle.card['fitted_on']}. Where 1 % of strangers may be given a name:")
    say(f"{'duration':<10}{'strangers named':>17}{'speakers named right':>22}")
    for row in bundle.expected:
        duration = f"{row.seconds:g} s"
        say(f"{duration:<10}{row.false_accepts:>17.1%}{row.identified:>22.1%}")
    return 0
