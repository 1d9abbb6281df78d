"""Write the demonstration corpus: synthetic voices with room, microphone and noise, without a download.

Every session has its own channel; training, validation and test share no session. The same seed gives the same bytes.
"""

import argparse
from pathlib import Path

from speakerid.cli.arguments import positive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", type=Path, metavar="OUT", help="corpus to write; must not exist")
    parser.add_argument("--speakers", type=positive, default=40, metavar="N", help="number of speakers (default 40)")
    parser.add_argument(
        "--utterances", type=positive, metavar="N", help="utterances of each speaker in each of 12 sessions (default 4)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the voices (default 0)")
    parser.add_argument("--wav", type=Path, metavar="FOLDER", help="also write the recordings there")
    parser.add_argument("--workers", type=positive, metavar="N", help="number of processes (default: one per core)")


def run(options: argparse.Namespace) -> int:
    from speakerid.base.printing import printable
    from speakerid.cli.destination import check_apart, check_folder
    from speakerid.demo.corpus import write_demo_corpus

    check_folder(options.out, (), "OUT")
    if options.wav:
        check_apart(options.wav, options.out, "--wav")
    given = {"utterances": options.utterances} if options.utterances else {}
    write_demo_corpus(
        options.out, speakers=options.speakers, seed=options.seed, workers=options.workers, wav=options.wav, **given
    )
    print(f"{printable(options.out)}: {options.speakers} synthetic speakers")
    return 0
