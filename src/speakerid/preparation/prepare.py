"""Prepare a corpus from recordings: scan → stage → parts → packed store, HW4 files.

The result depends only on the recordings and the options, not on interruptions or on the order in which recordings
were added.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speakerid.audio.log_mel import LogMel
from speakerid.audio.speed import SPEEDS
from speakerid.base.errors import CorpusError, UserError
from speakerid.base.files import StrPath
from speakerid.base.printing import counted, printable
from speakerid.corpus import hw4
from speakerid.corpus.utterances import PACKED, Corpus, Utterance
from speakerid.preparation import recordings_table
from speakerid.preparation.arrange import Arranged, arrange, drop_single_recordings
from speakerid.preparation.company import check_names, is_company, scan_company, separate_company
from speakerid.preparation.occasions import FOLDER, remove_others, simulate, split_sessions
from speakerid.preparation.options import Options, Prepared
from speakerid.preparation.packed_frames import PackedFrames
from speakerid.preparation.quality.findings import Examined, Finding, findings
from speakerid.preparation.recording_features import Job, OutOfMemory, Settings
from speakerid.preparation.repack import repack
from speakerid.preparation.shards import Entry
from speakerid.preparation.sources.layouts import scan
from speakerid.preparation.sources.recordings import Recording, Scan
from speakerid.preparation.stage import Stage
from speakerid.preparation.target import check_target, locked
from speakerid.preparation.write import write_corpus


def prepare(source: StrPath, out: StrPath, options: Options | None = None) -> Prepared:
    """Compute the log-mel features of every recording and write a corpus.

    After an interruption, call it again to continue. Added and changed recordings are detected by their content; the
    others are not computed again.

    Args:
        source: recordings in one of the known layouts.
        out: folder of the corpus.
        options: see `Options`; by default, the features are those of HW4.

    Raises:
        UserError: no recordings were found, `out` holds something else or other features, or fewer than two speakers
            have two usable recordings each.
        CorpusError: lists broken recordings, if `strict`.
    """
    source, out, options = Path(source), Path(out), options or Options()
    found = scan(source, options.layout, options.turns)
    if found.layout == "hw4":
        print(f"{printable(source)}: layout hw4, features are already computed")
        return repack(source, out, options, found)
    _print_scan(source, found)
    company = _find_company(options)
    check_names([*found.recordings, *company])
    check_target(out, options.features)
    with locked(out) as folder:
        stage = Stage(folder, PackedFrames(out / PACKED, options.dtype) if options.one_copy else {})
        recordings = _apply_occasions(found.recordings, out, options)
        jobs = [Job(recording) for recording in (*recordings, *company)]
        entries, broken = _compute(stage, jobs, "Prepare", options)
        skipped = _lines(broken)
        if options.strict and skipped:
            raise CorpusError(source, skipped)
        own, others = separate_company(entries, stage.fingerprint, skipped, expected=bool(options.company))
        arranged = _arrange(own, others, options, skipped)
        if options.speeds:
            copies, problems = _compute(stage, _copies(arranged), "Speeds", options)
            broken |= problems
            skipped += _lines(problems)
            arranged = arranged.with_copies(copies)
            entries |= copies
        corpus = arranged.corpus(out, options.features)
        examined = _examine(own, stage)
        _write(corpus, entries, stage, options)
        remove_others(out / FOLDER, recordings)
    all_findings = findings(examined, skipped, options.features.sample_rate)
    all_findings += [*_annotation_finding(found), *_company_finding(corpus)]
    return Prepared(corpus, found, skipped, _count_out_of_memory(broken), examined, all_findings)


def _compute(
    stage: Stage, jobs: Sequence[Job], title: str, options: Options
) -> tuple[dict[Job, Entry], dict[Job, UserError]]:
    return stage.compute(jobs, Settings(LogMel(options.features), options.max_seconds), title, options.workers)


def _arrange(own: Mapping[Job, Entry], others: Mapping[Job, Entry], options: Options, skipped: list[str]) -> Arranged:
    """Choose the part of each recording; print how the test data were chosen."""
    usable = drop_single_recordings(own, skipped)
    arranged = arrange(usable, options.test_fraction, options.split, options.strangers, others)
    if arranged.test:
        print(f"Test data: {arranged.how}")
    return arranged


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


def _annotation_finding(found: Scan) -> list[Finding]:
    """Finding that says what was left out of annotated recordings, if there are any."""
    advice = "only speech of one person at a time is used; correct the annotation if too little is left"
    return [Finding("annotations", found.left_out, (), advice)] if found.left_out else []


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
        _print_scan(source, scanned, "company speaker")
    return [recording for _, scanned in found for recording in scanned.recordings]


def _lines(broken: Mapping[Job, UserError]) -> list[str]:
    return [f"{job.name}: {problem}" for job, problem in broken.items()]


def _print_scan(source: Path, found: Scan, who: str = "speaker") -> None:
    people = len({recording.speaker for recording in found.recordings})
    recordings = counted(len(found.recordings), "recording")
    print(f"{printable(source)}: layout {found.layout}, {recordings} of {counted(people, who)}")
    for remark in found.remarks:
        print(f"  {remark}")


def _write(corpus: Corpus, entries: Mapping[Job, Entry], stage: Stage, options: Options) -> None:
    """Write the corpus, and keep what the next preparation cannot find in it."""
    jobs = {entry.feature_path: job for job, entry in entries.items()}

    def frames(utterance: Utterance) -> NDArray[np.floating]:
        return stage.frames(entries[jobs[utterance.feature_path]])

    everything = (*corpus.labelled, *corpus.test, *corpus.strangers)
    if options.one_copy and hw4.has_corpus(corpus.root):
        print("HW4 files of the former preparation are removed; --layout-out both writes them")
    write_corpus(
        corpus, frames, options.layout_out, options.dtype, write_extra=lambda: recordings_table.write(corpus, jobs)
    )
    stage.keep_only(entries.values(), {one.feature_path for one in everything} if options.one_copy else ())


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
