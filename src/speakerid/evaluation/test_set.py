"""Test utterances of a corpus, to evaluate a bundle on.

Shapes: U utterances of known speakers and strangers, D width of a voice print, T trials.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speakerid.base.errors import UserError
from speakerid.corpus.check import open_corpus
from speakerid.corpus.store import FrameStore
from speakerid.corpus.utterances import UNKNOWN, Corpus, Utterances
from speakerid.evaluation.trial_lists import checked_kinds, read_trials
from speakerid.evaluation.trial_names import rows_of_names
from speakerid.evaluation.trials import Pairs, draw_pairs
from speakerid.recognition.bundle import Bundle
from speakerid.recognition.make_pretrained import frames_of
from speakerid.recognition.network import Embeds
from speakerid.training.trained_model import check_features

MOST_TRIALS = 100_000
"""Largest number of trials that are drawn."""
TRIALS_PER_SPEAKER = 200
"""Largest number of target trials drawn per speaker, and of non-target trials."""
MOST_SESSIONS = 8
"""Largest number of names of sessions for which each is a group."""


@dataclass(frozen=True, eq=False)
class TestSet:
    """Test utterances of a corpus, followed by its strangers.

    Attributes:
        corpus: their corpus.
        stores: their features, in the same order.
        utterances: U utterances.
        profile_indices: (U,) indices of their speakers in the bundle; UNKNOWN for strangers, and for speakers of the
            corpus who are not in the bundle.
    """

    corpus: Corpus
    stores: tuple[FrameStore, ...]
    utterances: Utterances
    profile_indices: NDArray[np.int64]

    @staticmethod
    def open(path: Path, bundle: Bundle, data: Path) -> TestSet:
        """Open the test utterances and strangers of a corpus.

        Args:
            path: file of the bundle.
            bundle: its content.
            data: folder of the corpus.

        Raises:
            UserError: the features differ from the bundle's, or there are no test utterances, no answers, or no test
                utterances of the bundle's speakers.
        """
        corpus, store = open_corpus(data, "test")
        if not bundle.pretrained:
            check_features(path, bundle.features, corpus)
        if not corpus.test:
            raise UserError(f"{data}: has no test utterances; `prepare --test-fraction` sets some aside")
        if corpus.answers is None:
            raise UserError(f"{data}: no answers.csv, so the speakers of the test utterances are unknown")
        if bundle.pretrained:
            parts = (corpus.test, corpus.strangers) if corpus.strangers else (corpus.test,)
            stores = tuple(frames_of(corpus, list(part.names), bundle.frontend()) for part in parts)
        else:
            stores = (store, open_corpus(data, "strangers")[1]) if corpus.strangers else (store,)
        utterances = Utterances.of([*corpus.test, *corpus.strangers])
        enrolled = {name: index for index, name in enumerate(bundle.profiles.names)}
        of_speaker = np.array([enrolled.get(name, UNKNOWN) for name in utterances.speaker_names])
        profile_indices = of_speaker[utterances.speakers]
        if not (profile_indices != UNKNOWN).any():
            found = utterances.speaker_names[0]
            raise UserError(
                f"{data}: no test utterance is of a speaker that {path} knows; found {found!r} for instance, expected "
                f"{bundle.profiles.names[0]!r} for instance"
            )
        return TestSet(corpus, stores, utterances, profile_indices)

    @property
    def known(self) -> NDArray[np.bool_]:
        """(U,) whether the bundle knows the speaker."""
        return self.profile_indices != UNKNOWN

    def embed(self, embedder: Embeds, crop_frames: int | None) -> NDArray[np.float32]:
        """(U, D) voice prints.

        Args:
            embedder: the bundle's.
            crop_frames: number of frames taken from the middle of each utterance; all if None.
        """
        return np.concatenate([embedder.embed(store, range(len(store)), crop_frames) for store in self.stores])

    @cached_property
    def pairs(self) -> Pairs:
        """Trials drawn among all speakers; none if no one speaks twice, or there is only one speaker."""
        per_speaker = MOST_TRIALS // (2 * len(self.utterances.speaker_names))
        return draw_pairs(self.utterances, max(1, min(TRIALS_PER_SPEAKER, per_speaker)))

    def listed(self, path: Path) -> Pairs:
        """Read a list of trials, which names utterances by their feature paths or by their recordings.

        Raises:
            UserError: the file is not such a list, has unknown names, or contradicts the corpus.
        """
        trials = read_trials(path)
        rows = rows_of_names(path, (*trials.enrolment, *trials.test), self.corpus, self.utterances.names)
        first, second = (np.array([rows[name] for name in side]) for side in (trials.enrolment, trials.test))
        same = self.utterances.speakers[first] == self.utterances.speakers[second]
        if trials.targets is None:
            return Pairs(first, second, checked_kinds(path, same))
        wrong = np.flatnonzero(same != trials.targets)
        if len(wrong):
            trial = wrong[0]
            said = "target" if trials.targets[trial] else "non-target"
            raise UserError(
                f"{path}: {trials.enrolment[trial]!r} and {trials.test[trial]!r}: found a {said} trial, but "
                f"{self.corpus.root} has {'two speakers' if trials.targets[trial] else 'one speaker'} for them"
            )
        return Pairs(first, second, trials.targets)

    def session_groups(self) -> Mapping[str, NDArray[np.bool_]]:
        """(U,) masks of the known speakers' utterances by kind of session; empty if no session is known."""
        sessions, known = self.utterances.sessions, self.known
        has_session = sessions != UNKNOWN
        if not (known & has_session).any():
            return {}
        trained = _sessions(self.corpus.labelled)
        pairs = _names(self.utterances)
        inside = np.array([pair in trained for pair in pairs])
        groups = {
            "session trained on": known & has_session & inside,
            "another session": known & has_session & ~inside,
            "session unknown": known & ~has_session,
        }
        names = np.array([session if session is not None else "" for _, session in pairs])
        shared = sorted(set(names[known & has_session].tolist()))
        if len(shared) <= MOST_SESSIONS:
            groups |= {f"session {name}": known & has_session & (names == name) for name in shared}
        return {name: rows for name, rows in groups.items() if rows.any()}


def _names(utterances: Utterances) -> Sequence[tuple[str | None, str | None]]:
    """Speaker and session of each utterance."""
    return [(utterance.speaker, utterance.session) for utterance in utterances]


def _sessions(utterances: Utterances) -> set[tuple[str | None, str | None]]:
    """Speaker and session of every session."""
    rows = np.unique(utterances.sessions, return_index=True)[1]
    return {(utterances[row].speaker, utterances[row].session) for row in rows.tolist()}
