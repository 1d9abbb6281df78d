"""From recordings to a corpus in HW4 layout."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import torch
from tqdm import tqdm

from speakerid.audio.decode import decode
from speakerid.audio.log_mel import LogMel
from speakerid.config import FeatureConfig
from speakerid.corpus import hw4
from speakerid.corpus.parallel import parallel_map
from speakerid.corpus.records import Corpus, Utterance
from speakerid.corpus.scan import Recording, scan
from speakerid.errors import CorpusError, UserError
from speakerid.files import atomic_folder


@dataclass(frozen=True)
class Prepared:
    """What became of the recordings."""

    corpus: Corpus
    skipped: list[str]
    """One line for each recording that was left out."""


def prepare(
    source: Path,
    out: Path,
    features: FeatureConfig | None = None,
    test_fraction: float = 0.0,
    strict: bool = False,
    workers: int | None = None,
) -> Prepared:
    """Compute the log-mel features of every recording and write a corpus.

    Args:
        source: one folder per speaker, see `scan`.
        out: the corpus; there whole at the end, or not at all.
        features: the settings, by default the HW4 corpus's.
        test_fraction: share of each speaker's recordings, the last ones by name (of those whose sessions are
            known: the last sessions), that becomes test data.
        strict: refuse to leave out a broken recording.
        workers: processes; by default one for each core.

    Raises:
        UserError: no recordings, `out` exists, fewer than two speakers with two sound recordings each.
        CorpusError: broken recordings under `strict`.
    """
    features = features or FeatureConfig()
    recordings = scan(source)
    with atomic_folder(out) as folder:
        job = partial(_write_features, source=source, folder=folder, features=features)
        results = list(parallel_map(job, recordings, "Prepare", "file", workers))
        skipped = [result for result in results if isinstance(result, str)]
        if strict and skipped:
            raise CorpusError(source, skipped)
        utterances = _enough(folder, [result for result in results if isinstance(result, Utterance)], skipped)
        if features.equalise:
            _equalise(folder, utterances, features.n_mels)
        corpus = _arrange(out, features, utterances, test_fraction)
        hw4.write(folder, corpus)
    return Prepared(corpus, skipped)


def _write_features(recording: Recording, *, source: Path, folder: Path, features: FeatureConfig) -> Utterance | str:
    """The utterance whose features were written, or what is wrong with the recording."""
    name = recording.path.relative_to(source).as_posix()
    try:
        frames = _log_mel(features)(*decode(recording.path))
    except UserError as error:
        return f"{os.fsencode(name).decode(errors='backslashreplace')}: {error}"
    feature_path = f"uttr-{hashlib.blake2b(os.fsencode(name), digest_size=16).hexdigest()}.pt"
    hw4.save_features(folder / feature_path, frames)
    return Utterance(feature_path, len(frames), recording.speaker, recording.session)


@lru_cache(maxsize=1)
def _log_mel(features: FeatureConfig) -> LogMel:
    return LogMel(features)


def _enough(folder: Path, utterances: list[Utterance], skipped: list[str]) -> list[Utterance]:
    """Without the speakers of whom only one utterance is left, whose features are removed."""
    by_speaker = _by_speaker(utterances)
    for speaker, members in by_speaker.items():
        if len(members) < 2:
            skipped.append(f"{speaker}: one sound recording only, at least 2 are needed")
            (folder / members[0].feature_path).unlink()
    kept = [utterance for utterance in utterances if len(by_speaker[str(utterance.speaker)]) > 1]
    if len(_by_speaker(kept)) < 2:
        reasons = "; ".join(skipped[:3])
        raise UserError(f"fewer than two speakers with two sound recordings each{': ' if reasons else ''}{reasons}")
    return kept


def _arrange(root: Path, features: FeatureConfig, utterances: list[Utterance], test_fraction: float) -> Corpus:
    """Speakers in the order of their names; the last recordings of each become test data."""
    labelled: list[Utterance] = []
    test: list[Utterance] = []
    by_speaker = _by_speaker(utterances)
    for members in by_speaker.values():
        cut = len(members) - _test_count(members, test_fraction)
        labelled += members[:cut]
        test += members[cut:]
    # Sorted by their hashed names: the order of the test data says nothing of who speaks.
    test.sort(key=lambda utterance: utterance.feature_path)
    answers = tuple(str(utterance.speaker) for utterance in test)
    hidden = tuple(Utterance(utterance.feature_path, utterance.length) for utterance in test)
    return Corpus(root, features, tuple(sorted(by_speaker)), tuple(labelled), hidden, answers if test else None)


def _test_count(members: Sequence[Utterance], test_fraction: float) -> int:
    """How many of a speaker's last utterances are for the test; whole sessions where there are several."""
    count = min(len(members) - 2, round(test_fraction * len(members)))
    if count < 1:
        return 0
    sessions = [utterance.session for utterance in members]
    if None in sessions or len(set(sessions)) < 2:
        return count
    starts = [place for place in range(2, len(members)) if sessions[place] != sessions[place - 1]]
    return len(members) - min(starts, key=lambda start: abs(len(members) - start - count)) if starts else 0


def _by_speaker(utterances: Sequence[Utterance]) -> dict[str, list[Utterance]]:
    speakers: dict[str, list[Utterance]] = {}
    for utterance in utterances:
        speakers.setdefault(str(utterance.speaker), []).append(utterance)
    return speakers


def _equalise(folder: Path, utterances: Sequence[Utterance], n_mels: int) -> None:
    """Standardise every band over all frames of a speaker, in place: what is constant in a channel goes."""
    for members in tqdm(_by_speaker(utterances).values(), "Equalise", ncols=0, unit=" speaker"):
        paths = [folder / utterance.feature_path for utterance in members]
        loaded = [hw4.load_features(path, u.length, n_mels) for path, u in zip(paths, members, strict=True)]
        frames = torch.cat(loaded).double()
        mean, deviation = frames.mean(0), frames.std(0).clamp_min(1e-6)  # a band may be empty, and then constant
        for path, utterance_frames in zip(paths, loaded, strict=True):
            hw4.save_features(path, ((utterance_frames.double() - mean) / deviation).float())
