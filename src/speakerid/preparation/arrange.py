"""Which of the prepared recordings become labelled, test and stranger utterances."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from speakerid.base.errors import UserError
from speakerid.config import FeatureConfig
from speakerid.corpus.split import By, Split, split
from speakerid.corpus.utterances import Corpus, Utterance, Utterances
from speakerid.preparation.company import is_company
from speakerid.preparation.recording_features import Job
from speakerid.preparation.shards import Entry

COMPANY_STRANGERS, MAX_COMPANY_STRANGERS = 5, 100
"""One company speaker in this many is held out as a stranger, up to the maximum."""


@dataclass(frozen=True)
class Arranged:
    """The utterances of each part, by speaker and in the order of the scan."""

    labelled: dict[Job, Utterance]
    test: list[Utterance]
    strangers: list[Utterance]
    how: str
    """How the test utterances were chosen, see `speakerid.corpus.split.Split`."""

    def with_copies(self, copies: Mapping[Job, Entry]) -> "Arranged":
        """Insert the speed-perturbed copies, each after the labelled recording that it was made from."""
        by_original: dict[Job, list[Job]] = {}
        for job in copies:
            by_original.setdefault(Job(job.recording), []).append(job)
        labelled: dict[Job, Utterance] = {}
        for original, utterance in self.labelled.items():
            labelled[original] = utterance
            for job in by_original.get(original, ()):
                labelled[job] = replace(_utterance(job, copies[job]), copy_of=utterance.feature_path)
        return replace(self, labelled=labelled)

    def corpus(self, root: Path, features: FeatureConfig) -> Corpus:
        """Build the corpus. Classes are the speakers, then the speed-perturbed copies, then company; each by name."""
        company = {_speaker(job) for job in self.labelled if is_company(job)}
        perturbed = {_speaker(job) for job in self.labelled if job.speed}
        speakers = tuple(sorted({_speaker(job) for job in self.labelled} - perturbed - company))
        # Sort by hashed file name so that the order of the test data does not reveal the speakers.
        test = sorted(self.test, key=lambda utterance: utterance.feature_path)
        names = (*speakers, *sorted(perturbed), *sorted(company))
        order = {name: index for index, name in enumerate(names)}
        labelled = Utterances.of(sorted(self.labelled.values(), key=lambda u: order[str(u.speaker)]), names)
        return Corpus(root, features, speakers, labelled, Utterances.of(test, speakers), Utterances.of(self.strangers))


def drop_single_recordings(entries: Mapping[Job, Entry], skipped: list[str]) -> dict[Job, Entry]:
    """Leave out speakers with only one usable recording, and add a line for each to `skipped`.

    Raises:
        UserError: fewer than two speakers are left.
    """
    by_speaker = _by_speaker(entries)
    for speaker, jobs in by_speaker.items():
        if len(jobs) < 2:
            skipped.append(f"{speaker}: only one usable recording, expected at least 2")
    kept = {job: entry for job, entry in entries.items() if len(by_speaker[job.recording.speaker]) > 1}
    if len(_by_speaker(kept)) < 2:
        reasons = "; ".join(skipped[:3])
        raise UserError(
            f"found {len(_by_speaker(kept))} speakers with two usable recordings, expected at least 2; add recordings"
            f"{': ' if reasons else ''}{reasons}"
        )
    return kept


def arrange(
    entries: Mapping[Job, Entry], test_fraction: float, by: By, strangers: int, company: Mapping[Job, Entry]
) -> Arranged:
    """Divide the recordings into labelled, test and stranger utterances.

    Args:
        entries: at least two speakers with two recordings each.
        test_fraction: share of each speaker's recordings for the test; at least two of each stay labelled.
        by: how to choose the test recordings, see `speakerid.corpus.split`.
        strangers: number of speakers to hold out entirely. Those whose names hash lowest are chosen, so adding a
            speaker changes few.
        company: recordings of other people. They are used for training, except for one person in
            `COMPANY_STRANGERS`, who is held out in the same way.

    Raises:
        UserError: fewer than two speakers would be left.
    """
    by_speaker = _by_speaker(entries)
    if len(by_speaker) - strangers < 2:
        raise UserError(f"strangers: found {strangers} of {len(by_speaker)} speakers; at least two must remain")
    held_out = _held_out(by_speaker, strangers)
    known = [job for speaker in sorted(by_speaker.keys() - set(held_out)) for job in by_speaker[speaker]]
    rows = Utterances.of(_utterance(job, entries[job]) for job in known)
    parts = split(rows, by, test_fraction, seed=0, keep=2) if test_fraction else Split(list(range(len(rows))), [], "")
    people = _by_speaker(company)
    unknown = _held_out(people, min(len(people) // COMPANY_STRANGERS, MAX_COMPANY_STRANGERS))
    training = [job for name in sorted(people.keys() - set(unknown)) for job in people[name]]
    return Arranged(
        {known[row]: rows[row] for row in parts.train} | {job: _utterance(job, company[job]) for job in training},
        [rows[row] for row in parts.valid],
        [_utterance(job, entries[job]) for speaker in held_out for job in by_speaker[speaker]]
        + [_utterance(job, company[job]) for name in unknown for job in people[name]],
        parts.how,
    )


def _held_out(names: Iterable[str], count: int) -> list[str]:
    return sorted(sorted(names, key=_name_hash)[:count])


def _utterance(job: Job, entry: Entry) -> Utterance:
    return Utterance(entry.feature_path, entry.length, _speaker(job), job.recording.session)


def _speaker(job: Job) -> str:
    return f"{job.recording.speaker} (speed {job.speed})" if job.speed else job.recording.speaker


def _name_hash(speaker: str) -> bytes:
    return hashlib.blake2b(speaker.encode(), digest_size=16).digest()


def _by_speaker(jobs: Iterable[Job]) -> dict[str, list[Job]]:
    speakers: dict[str, list[Job]] = {}
    for job in jobs:
        speakers.setdefault(job.recording.speaker, []).append(job)
    return speakers
