"""Check a corpus: every block of the packed store, every entry of its JSON files and every feature file.

All problems are reported at once, the first 20 in full: missing or damaged files, wrong shapes, values that are not
finite, duplicates, speakers with too few utterances. The exit status is 0 if the corpus is valid, else 2. Training
makes the same check before its first step.
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", type=Path, metavar="FOLDER", help="folder of a corpus")


def run(options: argparse.Namespace) -> int:
    from speakerid.base.printing import counted, printable
    from speakerid.corpus.check import check_corpus

    corpus = check_corpus(options.data)
    labelled = int((~corpus.labelled.company).sum())
    print(
        f"{printable(options.data)}: valid; {counted(len(corpus.speakers), 'speaker')}, {labelled} labelled and "
        f"{len(corpus.test)} test utterances, {corpus.features.n_mels} mel bands"
    )
    if corpus.company:
        print(corpus.company)
    return 0
