"""Prepare a corpus of log-mel features from recordings, and report on its quality.

SOURCE is a folder with a folder per speaker, in which folders are recording sessions:
  recordings/anna/monday/01.wav  recordings/anna/tuesday/01.wav  recordings/ben/monday/01.wav
or a CSV or TSV file with the columns path, speaker and optionally session, start, end, duration (seconds), channel; or
long recordings with annotations of the same name that say who speaks when:
  meetings/monday.wav meetings/monday.rttm  meetings/tuesday.wav meetings/tuesday.TextGrid
(.rttm with .uem, Praat's .TextGrid, ELAN's .eaf, Audacity's labels as .txt, .srt and .vtt with speakers, .json of
whisperX and OpenAI), which are cut into utterances without overlaps, every recording a session; or one of the layouts
kaldi, nemo, lhotse, speechbrain, librispeech, vctk, voxceleb, cnceleb, commonvoice, cmuarctic, hw4,
which are detected. --layout folders:2 means that the second folder is the speaker. Give sessions if you can: then
validation uses sessions that were not used for training, which is the only honest measure of accuracy.

After an interruption, run the same command again to continue. Later runs compute only what was added or changed. A
recording that cannot be used is reported and left out. OUT/report.html describes the corpus and its problems.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from speakerid.base.errors import UserError
from speakerid.base.printing import counted, printable
from speakerid.cli.arguments import fraction, positive, seconds
from speakerid.cli.destination import check_destination, check_folder, corpus_files, is_inside, is_same_file
from speakerid.cli.kinds import CORPUS_REPORT
from speakerid.cli.output import complain

if TYPE_CHECKING:
    from speakerid.preparation.quality.findings import Examined, Finding
    from speakerid.preparation.sources.annotated import TurnOptions

REPORT = "report.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, nargs="?", metavar="SOURCE", help="folder of recordings, or a CSV or TSV")
    parser.add_argument("out", type=Path, metavar="OUT", help="corpus to write or to continue")
    parser.add_argument(
        "--layout", default="auto", metavar="NAME", help="layout of SOURCE (default: detected, see above)"
    )
    parser.add_argument(
        "--download", metavar="NAME", help="public corpus instead of SOURCE, such as librispeech:dev-clean"
    )
    parser.add_argument(
        "--layout-out", choices=["hw4", "packed", "both"], default="packed",
        help="packed: all frames in one file (default); hw4: a file for each utterance; both",
    )  # fmt: skip
    parser.add_argument(
        "--dtype", choices=["float16", "float32"], default="float16", help="type of the packed file (default float16)"
    )
    parser.add_argument(
        "--features", nargs="+", default=[], metavar="SETTING=VALUE",
        help="settings of the log-mels, such as n_mels=80 f_min=20; see speakerid.FeatureConfig",
    )  # fmt: skip
    parser.add_argument(
        "--test-fraction", type=fraction, default=0.0, metavar="F",
        help="share of each speaker's recordings to use as test data (default 0)",
    )  # fmt: skip
    parser.add_argument(
        "--split", choices=["auto", "session", "order", "random"], default="auto",
        help="how test data are chosen: auto takes whole sessions if they are known, else the last recordings",
    )  # fmt: skip
    turns = parser.add_argument_group("annotated recordings")
    turns.add_argument(
        "--turn-seconds", type=seconds, metavar="S",
        help="join turns of a speaker up to this length, and cut longer ones (default 10)",
    )  # fmt: skip
    turns.add_argument(
        "--tiers", nargs="+", metavar="NAME",
        help="tiers of TextGrids and .eaf files to read (default: the tier `speaker`, whose labels are names, else "
        "all, each a speaker's)",
    )  # fmt: skip
    _add_voices(parser)
    parser.add_argument(
        "--max-minutes", type=positive, default=20, metavar="N", help="leave out longer recordings (default 20)"
    )
    parser.add_argument("--strict", action="store_true", help="stop at broken recordings instead of leaving them out")
    parser.add_argument("--workers", type=positive, metavar="N", help="number of processes (default: one per core)")


def _add_voices(parser: argparse.ArgumentParser) -> None:
    """Options for strangers, for other people's recordings, and for changed copies."""
    parser.add_argument(
        "--strangers", type=int, default=0, metavar="N", help="number of speakers to hold out as strangers (default 0)"
    )
    parser.add_argument(
        "--company", type=Path, nargs="+", action="extend", default=[], metavar="FOLDER",
        help="recordings of other people, in any layout: additional training classes that are never predicted",
    )  # fmt: skip
    parser.add_argument(
        "--company-download", nargs="+", action="extend", default=[], metavar="NAME",
        help="public corpora as company, such as librispeech:dev-clean",
    )  # fmt: skip
    parser.add_argument(
        "--occasions", type=positive, default=0, metavar="N",
        help="for experiments: split every session into N simulated occasions (room, microphone, noise, codec); "
        "needs the extra av",
    )  # fmt: skip
    parser.add_argument("--occasion-seed", type=int, default=0, metavar="SEED", help="seed of the simulated occasions")
    parser.add_argument(
        "--speeds", action="store_true", help="add copies at 0.9 and 1.1 of the speed, as additional training classes"
    )
    parser.add_argument("--augment", nargs="+", choices=["speed"], help=argparse.SUPPRESS)  # old name of --speeds


def run(options: argparse.Namespace) -> int:
    from speakerid.config import parse_features
    from speakerid.preparation.prepare import Options, prepare

    if (options.source is None) == (options.download is None):
        raise UserError("expected SOURCE OUT, or --download NAME OUT")
    downloads = options.out.parent / "downloads"
    source = options.source or downloads
    _check_out(options, source)
    if options.download:
        source = _downloaded(options.download, downloads)
    company = [*options.company, *(_downloaded(name, downloads) for name in options.company_download)]
    _check_company(company, source)
    chosen = Options(
        layout=options.layout,
        turns=_turns(options),
        layout_out=options.layout_out,
        dtype=options.dtype,
        test_fraction=options.test_fraction,
        split=options.split,
        strangers=options.strangers,
        company=tuple(company),
        occasions=options.occasions,
        occasion_seed=options.occasion_seed,
        strict=options.strict,
        workers=options.workers,
        features=parse_features(options.features),
        speeds=options.speeds or bool(options.augment),
        max_seconds=60.0 * options.max_minutes,
    )
    prepared = prepare(source, options.out, chosen)
    for line in prepared.skipped:
        complain(line, "left out")
    corpus = prepared.corpus
    if prepared.examined:
        _report(options.out, prepared.examined, prepared.findings)
    labelled = int((~corpus.labelled.company).sum())
    print(
        f"{printable(options.out)}: {counted(len(corpus.speakers), 'speaker')}, {labelled} labelled and "
        f"{len(corpus.test)} test utterances, {len(corpus.strangers)} of strangers; {len(prepared.skipped)} left out"
    )
    if corpus.company:
        print(corpus.company)
    if prepared.out_of_memory:
        complain(
            f"{prepared.out_of_memory} recordings could not be processed because the system killed worker processes "
            "or ran out of memory; free memory and run the same command again with --workers 1"
        )
        return 1
    return 0


def _turns(options: argparse.Namespace) -> TurnOptions | None:
    """Options for reading annotated recordings; None if none is given."""
    from speakerid.preparation.sources.annotated import TurnOptions

    if options.turn_seconds is None and options.tiers is None:
        return None
    return TurnOptions(options.turn_seconds or TurnOptions.longest, tuple(options.tiers or ()))


def _downloaded(name: str, folder: Path) -> Path:
    from speakerid.preparation.download import download

    return download(name, folder)


def _check_company(company: Sequence[Path], source: Path) -> None:
    """Refuse company that overlaps the speakers' recordings.

    Raises:
        UserError: a folder of company is SOURCE, is inside it, or contains it.
    """
    for folder in company:
        if is_same_file(folder, source):
            raise UserError(f"--company: {folder}: is SOURCE; expected recordings of other people")
        if source.is_dir() and is_inside(folder, source):
            raise UserError(
                f"--company: {folder}: is in SOURCE, {source}, so its people would also be speakers; move it elsewhere"
            )
        if source.is_dir() and is_inside(source, folder):
            raise UserError(
                f"--company: {folder}: holds SOURCE, {source}, so the speakers would also be company; give the other "
                "folders in it"
            )


def _check_out(options: argparse.Namespace, source: Path) -> None:
    """Refuse to write a corpus into its own source, or over a report of another command.

    Args:
        options: options of the command.
        source: folder or table to read; with --download, the folder of downloads.

    Raises:
        UserError: OUT is refused.
    """
    check_folder(options.out, [source, *options.company], "OUT")
    for file in corpus_files(options.out):
        if is_same_file(file, source):
            raise UserError(
                f"SOURCE: {source}: is a file that will be written to OUT; copy it elsewhere, or choose another OUT"
            )
    check_destination(options.out / REPORT, CORPUS_REPORT, (), "OUT")


def _report(root: Path, examined: Examined, found: Sequence[Finding]) -> None:
    """Print the corpus report and write it as a page."""
    from speakerid.base.files import atomic_file
    from speakerid.corpus.check import open_corpus
    from speakerid.evaluation.leakage import leakage
    from speakerid.preparation.quality.findings import Finding
    from speakerid.preparation.quality.report import terminal_report
    from speakerid.preparation.quality.report_html import html_report

    corpus, store = open_corpus(root)
    leak = Finding(
        "leakage",
        str(leakage(store, corpus.labelled)),
        (),
        "quote accuracy only on sessions that were not used for training",
    )
    findings = [leak, *found]
    with atomic_file(root / REPORT) as partial:
        partial.write_text(html_report(examined, findings, f"Corpus report: {printable(root.name)}"), encoding="utf-8")
    print(terminal_report(examined, findings))
    print(f"Report: {printable(root / REPORT)}")
