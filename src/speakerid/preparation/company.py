"""Company: recordings of other people, used as additional training classes and never predicted.

Such a person is called `company/FOLDER/NAME` in every table and file of a corpus.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speakerid.base.errors import UserError
from speakerid.base.files import StrPath
from speakerid.base.printing import printable
from speakerid.corpus.utterances import COMPANY
from speakerid.preparation.quality.duplicates import same_sound
from speakerid.preparation.recording_features import Job
from speakerid.preparation.shards import Entry
from speakerid.preparation.sources.layouts import scan
from speakerid.preparation.sources.recordings import Recording, Scan, normalize_name

MAX_NAMED = 5
"""Maximum number of people that an error names."""


def is_company(job: Job) -> bool:
    """Whether a job's recording is company."""
    return job.recording.speaker.startswith(COMPANY)


def scan_company(sources: Iterable[StrPath]) -> list[tuple[Path, Scan]]:
    """Find the recordings of company in folders or tables of any layout, and rename them to `company/FOLDER/NAME`.

    Folders of the same name are numbered. The order of the sources has no effect.

    Raises:
        UserError: a folder has no recordings, or is inside another one.
        CorpusError: lists every wrong row of a table.
    """
    found: dict[str, tuple[Path, Scan]] = {}
    by_path = {source.resolve(): source for source in map(Path, sources)}
    for path, source in sorted(by_path.items()):
        if outer := next((by_path[above] for above in path.parents if above in by_path), None):
            raise UserError(f"--company: {source}: is inside {outer}, which is also company; give only one of them")
        scanned = scan(source)
        if scanned.layout == "hw4":
            raise UserError(f"--company: {source}: found features, expected recordings")
        name = printable(Path(os.path.abspath(source)).name)
        same = sum(label.partition("#")[0] == name for label in found)
        label = f"{name}#{same + 1}" if same else name
        recordings = [_renamed(recording, label) for recording in scanned.recordings]
        found[label] = source, replace(scanned, recordings=recordings)
    return list(found.values())


def check_names(recordings: Sequence[Recording]) -> None:
    """Refuse company with the name of a speaker: one person must not become two classes.

    Raises:
        UserError: a name is shared.
    """
    speakers = {normalize_name(r.speaker): r.speaker for r in recordings if not r.speaker.startswith(COMPANY)}
    company = sorted({r.speaker for r in recordings if r.speaker.startswith(COMPANY)})
    shared = [
        f"{name} ({speakers[plain]})"
        for name in company
        if (plain := normalize_name(name.split("/", 2)[-1])) in speakers
    ]
    if shared:
        more = f" and {len(shared) - MAX_NAMED} more" if len(shared) > MAX_NAMED else ""
        raise UserError(
            f"--company: found people with the name of a speaker: {', '.join(shared[:MAX_NAMED])}{more}; remove "
            "them from the company if they are the same person, else rename them there"
        )


def separate_company(
    entries: Mapping[Job, Entry], fingerprint: Callable[[Entry], NDArray[np.uint32]], skipped: list[str], expected: bool
) -> tuple[dict[Job, Entry], dict[Job, Entry]]:
    """Separate the speakers' recordings from those of company, leaving out company that copies a speaker's recording.

    Args:
        entries: entries of all recordings.
        fingerprint: see `speakerid.audio.measure.fingerprint`.
        skipped: lines on recordings that were left out; one is added for each copy.
        expected: whether company was asked for.

    Raises:
        UserError: company was asked for, and none is left.
    """
    own = {job: entry for job, entry in entries.items() if not is_company(job)}
    company = {job: entry for job, entry in entries.items() if is_company(job)}
    original = _originals(own, company, fingerprint) if company else {}
    kept = {job: entry for job, entry in company.items() if entry.digest not in original}
    skipped += [
        f"{job.name}: likely the same recording as {original[entry.digest].name} of a speaker"
        for job, entry in company.items()
        if job not in kept
    ]
    if expected and not kept:
        reasons = [line for line in skipped if line.startswith(COMPANY)][:MAX_NAMED]
        raise UserError(f"--company: none of its recordings can be used: {'; '.join(reasons)}")
    return own, kept


def _originals(
    own: Mapping[Job, Entry], company: Mapping[Job, Entry], fingerprint: Callable[[Entry], NDArray[np.uint32]]
) -> dict[str, Job]:
    """Map digests to the speaker's recording with the same content, or of which the content is a likely copy."""
    entries = {**own, **company}
    first = {entry.digest: job for job, entry in reversed(entries.items())}
    jobs = [job for job, entry in entries.items() if first[entry.digest] == job]  # one per content, speakers first
    originals = {entries[job].digest: job for job in jobs if job in own}
    for group in same_sound([fingerprint(entries[job]) for job in jobs]):
        if jobs[group[0]] in own:
            originals |= {entries[jobs[index]].digest: jobs[group[0]] for index in group}
    return originals


def _renamed(recording: Recording, label: str) -> Recording:
    name, speaker = f"{COMPANY}{label}/{recording.name}", f"{COMPANY}{label}/{recording.speaker}"
    return replace(recording, name=name, speaker=speaker)
