"""Prepare a corpus from recordings: scan → stage → parts → HW4 files and packed store.

The result depends only on the recordings and the options, not on interruptions or on the order in which recordings
were added.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speakerid.audio.log_mel import LogMel
from speakerid.audio.speed import SPEEDS
from speakerid.base.errors import CorpusError, UserError
from speakerid.base.files import StrPath, file_lock, remove_partials
from speakerid.base.printing import printable
from speakerid.config import FeatureConfig, parse, read_yaml
from speakerid.corpus import feature_file, hw4
from speakerid.corpus.check import check_corpus
from speakerid.corpus.split import By
from speakerid.corpus.store import DType
from speakerid.corpus.utterances import STAGE, Corpus, Utterance
from speakerid.preparation import recordings_table
from speakerid.preparation.arrange import Arranged, arrange, drop_single_recordings, feature_path
from speakerid.preparation.company import check_names, is_company, scan_company, separate_company
from speakerid.preparation.equalise import Equalizer
from speakerid.preparation.occasions import FOLDER, remove_others, simulate, split_sessions
from speakerid.preparation.quality.findings import Examined, Finding, findings
from speakerid.preparation.recording_features import Job, OutOfMemory, Settings
from speakerid.preparation.shards import Entry
from speakerid.preparation.sources.layouts import scan
from speakerid.preparation.sources.recordings import Recording, Scan
from speakerid.preparation.stage import Stage
from speakerid.preparation.write import LayoutOut, write_corpus


@dataclass(frozen=True)
class Options:
    """Options of `prepare`; the default features are those of HW4.

    Attributes:
        layout: layout of the source, see `speakerid.preparation.sources.layouts.LAYOUTS`; `auto` detects it.
        layout_out: what to write: HW4 files, the packed store, or both.
        features: settings of the log-mels.
        dtype: type of the packed store.
        test_fraction: share of each speaker's recordings for the test: the last sessions if sessions are known, else
            the last recordings.
        split: how the test data are chosen, see `speakerid.corpus.split`.
        strangers: number of speakers to hold out entirely.
        company: folders or tables of other people's recordings, see `preparation.company`.
        occasions: number of simulated occasions per session of a speaker, see `preparation.occasions`; 0 for none.
        occasion_seed: seed of the simulated occasions.
        speeds: add copies of the training recordings at `SPEEDS`, each speed counted as another speaker.
        max_seconds: leave out longer recordings.
        strict: raise an error instead of leaving out a broken recording.
        workers: number of processes, see `speakerid.base.parallel`.
    """

    layout: str = "auto"
    layout_out: LayoutOut = "both"
    features: FeatureConfig = field(default_factory=FeatureConfig)
    dtype: DType = "float16"
    test_fraction: float = 0.0
    split: By = "auto"
    strangers: int = 0
    company: tuple[StrPath, ...] = ()
    occasions: int = 0
    occasion_seed: int = 0
    speeds: bool = False
    max_seconds: float = 1200.0
    strict: bool = False
    workers: int | None = None


@dataclass(frozen=True)
class Prepared:
    """Result of `prepare`."""

    corpus: Corpus
    scan: Scan
    skipped: list[str]
    """One line for each recording that was left out."""
    out_of_memory: int
    """Number of recordings that were left out only for lack of memory."""
    examined: Examined | None
    """None if the source holds features instead of recordings."""
    findings: list[Finding]


def prepare(source: StrPath, out: StrPath, options: Options = Options()) -> Prepared:
    """Compute the log-mel features of every recording and write a corpus.

    After an interruption, call it again to continue. Added and changed recordings are detected by their content; the
    others are not computed again.

    Args:
        source: recordings in one of the known layouts.
        out: folder of the corpus.
        options: see `Options`.

    Raises:
        UserError: no recordings were found, `out` holds something else or other features, or fewer than two speakers
            have two usable recordings each.
        CorpusError: lists broken recordings, if `strict`.
    """
    source, out = Path(source), Path(out)
    found = scan(source, options.layout)
    if found.layout == "hw4":
        print(f"{printable(source)}: layout hw4, features are already computed")
        return _repack(source, out, options, found)
    _print_scan(source, found)
    company = _find_company(options)
    check_names([*found.recordings, *company])
    log_mel = LogMel(options.features.model_copy(update={"equalise": False}))  # equalized when they are written
    settings = Settings(log_mel, options.max_seconds)
    _check_target(out, options.features)
    with _open_stage(out) as stage:
        recordings = _apply_occasions(found.recordings, out, options)
        jobs = [Job(recording) for recording in (*recordings, *company)]
        entries, broken = stage.compute(jobs, settings, "Prepare", options.workers)
        skipped = _lines(broken)
        if options.strict and skipped:
            raise CorpusError(source, skipped)
        own, others = separate_company(entries, stage.fingerprint, skipped, expected=bool(options.company))
        usable = drop_single_recordings(own, skipped)
        arranged = arrange(usable, options.test_fraction, options.split, options.strangers, others)
        if arranged.test:
            print(f"Test data: {arranged.how}")
        if options.speeds:
            copies, problems = stage.compute(_copies(arranged), settings, "Speeds", options.workers)
            broken |= problems
            skipped += _lines(problems)
            arranged = arranged.with_copies(copies)
            usable |= copies
        corpus = arranged.corpus(out, options.features)
        _write(corpus, usable | others, stage, options)
        stage.keep_only(entries | usable)
        remove_others(out / FOLDER, recordings)
    examined = _examine(own, stage)
    all_findings = findings(examined, skipped, options.features.sample_rate) + _company_finding(corpus)
    return Prepared(corpus, found, skipped, _count_out_of_memory(broken), examined, all_findings)


@contextmanager
def _open_stage(out: Path) -> Iterator[Stage]:
    """Open the stage of a corpus, and lock it against other preparations while the block runs."""
    with _explain_write_errors(out):
        (out / STAGE).mkdir(parents=True, exist_ok=True)
        with file_lock(out / STAGE / "lock"):
            for folder in (out, out / STAGE):
                remove_partials(folder)
            yield Stage(out / STAGE)


def _apply_occasions(recordings: Sequence[Recording], out: Path, options: Options) -> Sequence[Recording]:
    """Recordings on simulated occasions if asked for, else unchanged."""
    if not options.occasions:
        return recordings
    by_occasion = split_sessions(recordings, options.occasions)
    return simulate(by_occasion, out / FOLDER, options.occasion_seed, options.max_seconds, options.workers)


def _count_out_of_memory(broken: Mapping[Job, UserError]) -> int:
    return sum(isinstance(problem, OutOfMemory) for problem in broken.values())


def _copies(arranged: Arranged) -> list[Job]:
    """Jobs for copies of the training recordings, without company, at other speeds."""
    originals = [job for job in arranged.labelled if not is_company(job)]
    return [Job(job.recording, speed) for job in originals for speed in SPEEDS]


def _company_finding(corpus: Corpus) -> list[Finding]:
    """Finding that describes company, if there is any."""
    company = corpus.company
    if not company:
        return []
    text = f"{company}, from {', '.join(company.folders)}" if company.folders else str(company)
    return [Finding("company", text, (), "its people are additional training classes and never predicted")]


def _find_company(options: Options) -> list[Recording]:
    """Find the recordings of company, and print a line for each source."""
    found = scan_company(options.company)
    for source, scanned in found:
        _print_scan(source, scanned, "people of company")
    return [recording for _, scanned in found for recording in scanned.recordings]


def _lines(broken: Mapping[Job, UserError]) -> list[str]:
    return [f"{job.name}: {problem}" for job, problem in broken.items()]


def _print_scan(source: Path, found: Scan, who: str = "speakers") -> None:
    people = len({recording.speaker for recording in found.recordings})
    print(f"{printable(source)}: layout {found.layout}, {len(found.recordings)} recordings of {people} {who}")
    for remark in found.remarks:
        print(f"  {remark}")


def _repack(source: Path, out: Path, options: Options, found: Scan) -> Prepared:
    """Write a corpus with existing features in another form, for example as a packed store."""
    defaults = Options()
    for name in vars(options).keys() - {"layout", "layout_out", "dtype", "workers"}:
        if getattr(options, name) != getattr(defaults, name):
            raise UserError(f"{name}: has no effect on {source}, whose features are already computed; leave it out")
    corpus = check_corpus(source)
    features = corpus.root  # may be a folder inside the source
    _check_target(out, corpus.features)
    with _explain_write_errors(out):
        (out / STAGE).mkdir(parents=True, exist_ok=True)
        corpus = replace(corpus, root=out)

        def frames(utterance: Utterance) -> NDArray[np.float32]:
            path = features / utterance.feature_path
            return feature_file.load(path, utterance.length, corpus.features.n_mels).numpy()

        with file_lock(out / STAGE / "lock"):
            remove_partials(out)
            write_corpus(
                corpus, frames, options.layout_out, options.dtype, write_extra=lambda: recordings_table.remove(out)
            )
    return Prepared(corpus, found, [], 0, None, [])


def _check_target(out: Path, features: FeatureConfig) -> None:
    if out.exists() and not (out / STAGE).is_dir() and not recordings_table.has_table(out):
        raise UserError(f"{out}: already exists; choose another folder or delete this one first")
    existing = out / hw4.FEATURES
    if existing.exists():
        differences = parse(FeatureConfig, read_yaml(existing), existing).differences(features)
        changed = [f"{name} {before}, asked for {now}" for name, (before, now) in differences.items()]
        if changed:
            raise UserError(f"{existing}: found {'; '.join(changed)}; choose another folder or delete {out} first")


@contextmanager
def _explain_write_errors(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{out}: cannot be written: {error.strerror or error}; fix this and run the same command again to continue"
        ) from error


def _write(corpus: Corpus, entries: Mapping[Job, Entry], stage: Stage, options: Options) -> None:
    jobs = {feature_path(job, entry): job for job, entry in entries.items()}

    def raw(utterance: Utterance) -> NDArray[np.float32]:
        return stage.frames(entries[jobs[utterance.feature_path]])

    everything = (*corpus.labelled, *corpus.test, *corpus.strangers)
    frames = Equalizer(everything, raw) if options.features.equalise else raw
    write_corpus(
        corpus, frames, options.layout_out, options.dtype, write_extra=lambda: recordings_table.write(corpus, jobs)
    )


def _examine(entries: Mapping[Job, Entry], stage: Stage) -> Examined:
    recordings = [job.recording for job in entries]
    return Examined(
        [recording.name for recording in recordings],
        [recording.speaker for recording in recordings],
        [recording.session for recording in recordings],
        [entry.measured for entry in entries.values()],
        [entry.digest for entry in entries.values()],
        [stage.fingerprint(entry) for entry in entries.values()],
        np.stack([stage.statistics(entry) for entry in entries.values()]),
    )
