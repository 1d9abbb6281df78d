"""Verification trials: pairs of utterances, and whether one speaker said both.

Letters: T trials, N utterances.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speakerid.corpus.recordings import printable
from speakerid.corpus.records import UNKNOWN, Utterances
from speakerid.errors import UserError

FORMATS = "'1 enrolment test' with 0 or 1 first (VoxCeleb), or 'enrolment test target|nontarget' (Kaldi)"
_VOXCELEB = {"1": True, "0": False}
_KALDI = {"target": True, "nontarget": False}
LARGEST = 2_000
"""Utterances of a speaker among which pairs are looked for, so that there are not too many pairs."""


@dataclass(frozen=True, eq=False)
class TrialList:
    """Trials as a file names them."""

    enrolment: tuple[str, ...]
    test: tuple[str, ...]
    targets: NDArray[np.bool_]
    """(T,) whether one speaker said both."""


def read_trials(path: Path) -> TrialList:
    """A list in VoxCeleb's format (Nagrani et al., 2017) or in Kaldi's; empty lines are skipped.

    Raises:
        UserError: the file cannot be read, a line is no trial, or there are no trials of one kind.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: no UTF-8 text; expected a list of trials, {FORMATS}") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    rows: list[tuple[str, str, bool]] = []
    for number, line in enumerate(lines, 1):
        match line.split():
            case []:
                continue
            case [answer, enrolment, test] if answer in _VOXCELEB:
                rows.append((enrolment, test, _VOXCELEB[answer]))
            case [enrolment, test, answer] if answer in _KALDI:
                rows.append((enrolment, test, _KALDI[answer]))
            case _:
                raise UserError(f"{path}: line {number}: found {printable(line)!r}, expected {FORMATS}")
    targets = np.array([target for _, _, target in rows], bool)
    if not (targets.any() and (~targets).any()):
        found = f"{targets.sum()} target and {(~targets).sum()} non-target trials"
        raise UserError(f"{path}: found {found}, expected some of both")
    return TrialList(tuple(row[0] for row in rows), tuple(row[1] for row in rows), targets)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Trials of utterances by their places."""

    enrolment: NDArray[np.int64]
    """(T,)"""
    test: NDArray[np.int64]
    """(T,)"""
    targets: NDArray[np.bool_]
    """(T,) whether one speaker said both."""


def draw_pairs(utterances: Utterances, per_speaker: int, seed: int = 0) -> Pairs:
    """Trials of utterances whose speakers are known; as many non-target as target ones of every speaker enrolled.

    Target trials are of two sessions wherever a speaker has two known ones; for two utterances of one session are
    alike in more than the voice. Augmented copies are left out.

    Args:
        utterances: N of them; those of unknown speakers are left out.
        per_speaker: target trials of each speaker, fewer where there are not as many pairs.
        seed: the same trials for the same seed.
    """
    rng = np.random.default_rng(seed)
    rows = np.flatnonzero((utterances.speakers != UNKNOWN) & (utterances.origins == np.arange(len(utterances))))
    speakers = utterances.speakers[rows]
    parts: list[NDArray[np.integer]] = [np.empty((0, 3), np.int64)]
    for speaker in np.unique(speakers):
        own, others = rows[speakers == speaker], rows[speakers != speaker]
        first, second = _same_speaker(utterances, rng.permutation(own)[:LARGEST])
        count = min(per_speaker, len(first), len(own) * len(others))
        chosen = rng.choice(len(first), count, replace=False)
        mixed = rng.choice(len(own) * len(others), count, replace=False)
        parts.append(np.stack([first[chosen], second[chosen], np.ones(count, np.int64)], 1))
        parts.append(np.stack([own[mixed // max(1, len(others))], others[mixed % max(1, len(others))], 0 * mixed], 1))
    enrolment, test, targets = np.concatenate(parts).T
    return Pairs(enrolment, test, targets.astype(bool))


def _same_speaker(utterances: Utterances, rows: NDArray[np.integer]) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """All pairs of a speaker's utterances, of two sessions where they are known."""
    first, second = (rows[places] for places in np.triu_indices(len(rows), 1))
    of_first, of_second = utterances.sessions[first], utterances.sessions[second]
    across = (of_first != of_second) & (of_first != UNKNOWN) & (of_second != UNKNOWN)
    return (first[across], second[across]) if across.any() else (first, second)
