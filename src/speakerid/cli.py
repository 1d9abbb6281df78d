"""The command line: `speakerid train|infer|prepare|…`, and the same behind scripts/*.py."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from speakerid.errors import LostProcess, UserError

if TYPE_CHECKING:
    from speakerid.corpus.quality import Examined, Finding

REQUEUE = 75
"""Exit status after SIGTERM: EX_TEMPFAIL of sysexits.h, "try again later"."""
RANK_SECONDS, LOST_SECONDS = 1.0, 5.0

# Heavy imports stand inside the commands, so that --help and a mistyped option answer at once.

TRAIN = """\
Train a classifier by the settings of a YAML file.

Single settings are laid over the file as section.setting=value:
  python scripts/train.py --config configs/task1_transformer.yaml data.root=data/Dataset run_dir=runs/first
The run's folder (run_dir) gets best.pt and last.pt, metrics.jsonl, curves.png, TensorBoard scalars and config.yaml.
Ctrl-C finishes the step, saves, and says how to go on."""

INFER = """\
Recognise the test utterances of a corpus (testdata.json) and write a submission: Id,Category, one row each.

Several checkpoints are averaged as an ensemble:
  python scripts/infer.py --checkpoint runs/a/best.pt runs/b/best.pt --data data/Dataset --output submission.csv"""

PREPARE = """\
Turn recordings into a corpus of log-mel features, checked and reported on.

SOURCE holds a folder per speaker; inner folders are recording sessions:
  recordings/anna/monday/01.wav  recordings/anna/tuesday/01.wav  recordings/ben/monday/01.wav
or it is a CSV or TSV with the columns path, speaker and perhaps session, start, end (seconds); or one of the layouts
librispeech, vctk, voxceleb, commonvoice, cmuarctic, hw4, which are recognised. Sessions let validation use occasions
that training never heard, which is the only honest accuracy.

Interrupted, it goes on when called again; called again later, it computes only what was added or changed. A recording
that cannot be used costs a line and not the run. OUT/report.html shows what is in the corpus and what is wrong with it.
"""

EVALUATE = """\
Accuracy of a checkpoint on utterances whose speakers are known, beside a linear baseline on the same ones.

The baseline (linear discriminant analysis on mean and deviation of every band) tells how much the channel and the
average spectrum alone give away. --part valid takes the validation split of the run, --part test the corpus's test
utterances, if it has answers.csv."""

CHECK = """\
Check a corpus: every entry of its JSON files and every feature file.

All problems are listed at once, the first 20 of them in full: missing or damaged files, wrong shapes, values that are
not finite, duplicates, speakers without enough utterances. Exit status 0 where the corpus is sound, 2 where it is not.
Training makes the same check before its first step."""

SYNTHESISE = """\
Write the demonstration corpus: synthetic voices in rooms, with microphones and noise, no download.

Every session has a channel of its own; training, validation and test share none. The same seed gives the same bytes."""


def main(command: str | None = None) -> None:
    """Run a command and exit.

    Args:
        command: of a script that has just one; by default the first word the user typed.
    """
    arguments = sys.argv[1:] if command is None else [command, *sys.argv[1:]]
    program = "speakerid" if command is None else f"python {sys.argv[0]}"
    exit_with(lambda: run(arguments, program))


def exit_with(action: Callable[[], int]) -> None:
    """Exit with the status an action returns, or with 2 and one line where the user made a mistake."""
    try:
        sys.exit(action())
    except UserError as error:
        # Of several processes rank 0 speaks first, and those that only lost another one last; the launcher ends all.
        rank = int(os.environ.get("RANK", 0))
        time.sleep(LOST_SECONDS if isinstance(error, LostProcess) else RANK_SECONDS if rank else 0)
        print(f"error: {f'rank {rank}: ' if rank else ''}{error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; nothing half-written is left", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # the reader, `head` for instance, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def run(arguments: Sequence[str], program: str = "speakerid") -> int:
    """Run a command.

    Args:
        arguments: the command and what belongs to it.
        program: what the user typed to get here; `speakerid`, or a script of one command.

    Returns:
        The exit status.

    Raises:
        UserError: whatever the user can mend.
    """
    options = build_parser(program).parse_args(arguments)
    return options.action(options)


def build_parser(program: str = "speakerid") -> argparse.ArgumentParser:
    """All commands with their options; `action` of what it parses runs the command."""
    parser = argparse.ArgumentParser(prog="speakerid", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, add, text in _COMMANDS:
        prog = program if program != "speakerid" else f"speakerid {name}"
        summary = text.split("\n", 1)[0]
        form = argparse.RawDescriptionHelpFormatter
        command = commands.add_parser(name, prog=prog, help=summary, description=text, formatter_class=form)
        command.set_defaults(program=prog)
        add(command)
    return parser


def _add_train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="settings, see configs/")
    parser.add_argument("--resume", action="store_true", help="go on from the last sound checkpoint in run_dir")
    parser.add_argument(
        "--auto-resume", action="store_true",
        help="resume where there is something to resume, else start: for schedulers that start a job again",
    )  # fmt: skip
    talk = parser.add_mutually_exclusive_group()
    talk.add_argument("--quiet", action="store_true", help="no progress, only the result and what must be known")
    talk.add_argument("--json", action="store_true", help="an object a line on stdout: metrics and messages")
    parser.add_argument("overrides", nargs="*", metavar="section.setting=value", help="laid over the file")
    parser.set_defaults(action=_train)


def _train(options: argparse.Namespace) -> int:
    from speakerid.config import load_config
    from speakerid.distributed import was_restarted
    from speakerid.training.run import train

    config = load_config(options.config, options.overrides)
    again = "if any" if options.auto_resume or was_restarted() else False
    style = "quiet" if options.quiet else "json" if options.json else "auto"
    result = train(config, options.resume or again, style=style)
    say = print if os.environ.get("RANK", "0") == "0" and not options.json else lambda _: None
    if result.stopped_by:
        arguments = shlex.join(["--config", str(options.config), "--resume", *options.overrides])
        say(f"Stopped and saved to {result.run.last}. Go on with: {options.program} {arguments}")
        return REQUEUE if result.stopped_by == signal.SIGTERM else 128 + result.stopped_by
    say(f"Best validation accuracy {result.best_accuracy:.4f}: {result.run.best}")
    say(f"Curves: {result.run.curves}  Metrics: {result.run.metrics}")
    return 0


def _add_infer(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoint", type=Path, nargs="+", required=True, metavar="FILE", help="best.pt of a run, or several"
    )
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="corpus with testdata.json")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="the CSV to write")
    _add_device(parser)
    parser.set_defaults(action=_infer)


def _infer(options: argparse.Namespace) -> int:
    from speakerid.recognition.submission import infer
    from speakerid.training.run import choose_device

    corpus = infer(
        options.checkpoint, options.data, options.output, choose_device(options.device), options.frames_per_batch
    )
    print(f"{len(corpus.test)} rows: {options.output}")
    return 0


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, …; auto takes the first GPU (default)")
    parser.add_argument(
        "--frames-per-batch", type=_positive, metavar="N",
        help="bound on the padded frames of a batch: less memory when smaller, the same answers",
    )  # fmt: skip


def _add_prepare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, nargs="?", metavar="SOURCE", help="folder of recordings, or a CSV or TSV")
    parser.add_argument("out", type=Path, metavar="OUT", help="corpus to write, or to go on with")
    parser.add_argument("--layout", default="auto", metavar="NAME", help="of SOURCE (default: recognised, see above)")
    parser.add_argument("--download", metavar="NAME", help="in place of SOURCE: public, as librispeech:dev-clean")
    parser.add_argument(
        "--layout-out", choices=["hw4", "packed", "both"], default="both",
        help="HW4 feature files, one packed file, or both (default)",
    )  # fmt: skip
    parser.add_argument(
        "--dtype", choices=["float16", "float32"], default="float16", help="of the packed file (default float16)"
    )
    parser.add_argument(
        "--features", nargs="+", default=[], metavar="SETTING=VALUE",
        help="how log-mels are computed, as n_mels=80 f_min=20; see FeatureConfig in config.py",
    )  # fmt: skip
    parser.add_argument(
        "--test-fraction", type=_fraction, default=0.0, metavar="F",
        help="share of each speaker's recordings that becomes test data with answers.csv (default 0)",
    )  # fmt: skip
    parser.add_argument(
        "--split", choices=["auto", "session", "order", "random"], default="auto",
        help="how test data are chosen: auto takes whole sessions where they are known, else the last recordings",
    )  # fmt: skip
    parser.add_argument("--strangers", type=int, default=0, metavar="N", help="speakers to hold out whole (default 0)")
    parser.add_argument(
        "--augment", nargs="+", default=[], metavar="KIND", help="copies to train on: noise, reverb, speed"
    )
    parser.add_argument("--noise", type=Path, metavar="FOLDER", help="noise for them (MUSAN); generated by default")
    parser.add_argument("--rooms", type=Path, metavar="FOLDER", help="rooms (RIRS_NOISES); generated by default")
    parser.add_argument(
        "--equalise", action="store_true",
        help="standardise every band over all of a speaker's frames: takes the channel out, for measuring only",
    )  # fmt: skip
    parser.add_argument(
        "--max-minutes", type=_positive, default=20, metavar="N", help="longer recordings are left out (default 20)"
    )
    parser.add_argument("--strict", action="store_true", help="stop at broken recordings instead of leaving them out")
    parser.add_argument("--workers", type=_positive, metavar="N", help="processes (default: one for each core)")
    parser.set_defaults(action=_prepare)


def _prepare(options: argparse.Namespace) -> int:
    from speakerid.config import parse_features
    from speakerid.corpus.prepare import Options, prepare

    if (options.source is None) == (options.download is None):
        raise UserError("expected SOURCE OUT, or --download NAME OUT")
    source = options.source
    if options.download:
        from speakerid.audio.download import download

        source = download(options.download, options.out.parent / "downloads")
    chosen = Options(
        layout=options.layout,
        layout_out=options.layout_out,
        dtype=options.dtype,
        test_fraction=options.test_fraction,
        split=options.split,
        strangers=options.strangers,
        noise=options.noise,
        rooms=options.rooms,
        strict=options.strict,
        workers=options.workers,
        features=parse_features([*options.features, *(["equalise=true"] if options.equalise else [])]),
        augment=tuple(options.augment),
        max_seconds=60.0 * options.max_minutes,
    )
    prepared = prepare(source, options.out, chosen)
    for line in prepared.skipped:
        print(f"left out: {line}", file=sys.stderr)
    corpus = prepared.corpus
    if prepared.examined:
        _report(options.out, prepared.examined, prepared.findings)
    print(
        f"{options.out}: {len(corpus.speakers)} speakers, {len(corpus.labelled)} labelled and {len(corpus.test)} test "
        f"utterances, {len(corpus.strangers)} of strangers; {len(prepared.skipped)} left out"
    )
    return 0


def _report(root: Path, examined: Examined, found: Sequence[Finding]) -> None:
    """Print what is in a corpus and what is wrong with it, and write the same as a page."""
    from speakerid.corpus.check import open_corpus
    from speakerid.corpus.quality import Finding
    from speakerid.corpus.report import terminal_report
    from speakerid.corpus.report_html import html_report
    from speakerid.evaluation.leakage import leakage
    from speakerid.files import atomic_file

    corpus, store = open_corpus(root)
    leak = Finding("leakage", str(leakage(store, corpus.labelled)), (), "quote accuracy on sessions never heard only")
    findings = [leak, *found]
    with atomic_file(root / "report.html") as partial:
        partial.write_text(html_report(examined, findings, f"Corpus report: {root.name}"), encoding="utf-8")
    print(terminal_report(examined, findings))
    print(f"Report: {root / 'report.html'}")


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoint", type=Path, nargs="+", required=True, metavar="FILE", help="best.pt of a run, or several"
    )
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="corpus (default: the one trained on)")
    parser.add_argument("--part", choices=["valid", "test"], default="valid", help="which utterances (default valid)")
    parser.add_argument(
        "--seconds", type=float, nargs="*", default=[1.0, 2.0], metavar="S",
        help="durations cut from the middle of each utterance, besides whole ones (default 1 2)",
    )  # fmt: skip
    _add_device(parser)
    parser.set_defaults(action=_evaluate)


def _evaluate(options: argparse.Namespace) -> int:
    from speakerid.recognition.evaluation import evaluate_checkpoints
    from speakerid.training.run import choose_device

    rows = evaluate_checkpoints(
        options.checkpoint,
        options.data,
        options.part,
        options.seconds,
        choose_device(options.device),
        options.frames_per_batch,
    )
    print(f"{'duration':<10}{'accuracy':>10}{'macro':>10}{'linear baseline (macro)':>26}")
    for row in rows:
        print(f"{row.duration:<10}{row.accuracy:>10.4f}{row.macro_accuracy:>10.4f}{row.baseline:>26.4f}")
    return 0


def _add_check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", type=Path, metavar="FOLDER", help="corpus in HW4 layout")
    parser.set_defaults(action=_check)


def _check(options: argparse.Namespace) -> int:
    from speakerid.corpus.check import check_corpus

    corpus = check_corpus(options.data)
    print(
        f"{options.data}: sound; {len(corpus.speakers)} speakers, {len(corpus.labelled)} labelled and "
        f"{len(corpus.test)} test utterances, {corpus.features.n_mels} mel bands"
    )
    return 0


def _add_synthesise(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", type=Path, metavar="OUT", help="corpus to write; must not exist")
    parser.add_argument("--speakers", type=_positive, default=40, metavar="N", help="default 40")
    parser.add_argument(
        "--utterances", type=_positive, metavar="N", help="of each speaker in each of 12 sessions (default 4)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another seed, other voices (default 0)")
    parser.add_argument("--wav", type=Path, metavar="FOLDER", help="write the recordings there as well")
    parser.add_argument("--workers", type=_positive, metavar="N", help="processes (default: one for each core)")
    parser.set_defaults(action=_synthesise)


def _synthesise(options: argparse.Namespace) -> int:
    from speakerid.corpus.demo import write_demo_corpus

    given = {"utterances": options.utterances} if options.utterances else {}
    write_demo_corpus(
        options.out, speakers=options.speakers, seed=options.seed, workers=options.workers, wav=options.wav, **given
    )
    print(f"{options.out}: {options.speakers} synthetic speakers")
    return 0


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not a positive number")
    return value


def _fraction(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not a share between 0 and 1")
    return value


_COMMANDS = [
    ("train", _add_train, TRAIN),
    ("infer", _add_infer, INFER),
    ("prepare", _add_prepare, PREPARE),
    ("evaluate", _add_evaluate, EVALUATE),
    ("check", _add_check, CHECK),
    ("synthesise", _add_synthesise, SYNTHESISE),
]
