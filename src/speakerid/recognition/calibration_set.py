"""Calibration set of a bundle: voices, not used in training, that thresholds and probabilities are fitted on.

It is stored in the bundle, so that they can be fitted again when a speaker is enrolled or forgotten.

Shapes: N utterances of known speakers, I of strangers, D width of a voice print, R ranked speakers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speakerid.recognition.profiles import Profiles, rank

LEFT_OUT = -1000.0
"""Score of a speaker who is left out: far below those of speakers who compete for a voice print."""
DURATIONS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Durations that utterances are cut to, in seconds; values in between are interpolated."""
JOINED = (8.0, 16.0, 32.0)
"""Durations that several utterances of a session are joined to, in seconds, if single ones are shorter."""


@dataclass(frozen=True)
class Known:
    """Scores of N utterances of known speakers."""

    ranked: NDArray[np.float32]
    """(N, R) scores of the nearest speakers in descending order."""
    right: NDArray[np.float32]
    """(N,) scores of the true speakers."""
    found: NDArray[np.bool_]
    """(N,) whether the true speaker is the nearest."""


@dataclass(frozen=True)
class CalibrationSet:
    """Voice prints of utterances cut to one duration.

    Attributes:
        seconds: the duration; shorter utterances are whole, if they are longer than the next shorter duration.
        known: (N, D) voice prints of known speakers' utterances, used neither in training nor in the profiles.
        speakers: (N,) names of their speakers.
        strangers: (I, D) voice prints of utterances of strangers.
        stranger_speakers: (I,) index of the stranger.
        stranger_names: (I,) names of strangers who are known speakers that the model of their voice prints was not
            trained on; empty for all others, or an empty array.
        corrections: (N, 2) corrections added to the score of an utterance's speaker, and to all other scores, see
            `held_out.corrections`; an empty array if there are none.
        joined: whether each voice print is of several utterances of one session joined.
    """

    seconds: float
    known: NDArray[np.float32]
    speakers: NDArray[np.str_]
    strangers: NDArray[np.float32]
    stranger_speakers: NDArray[np.integer]
    stranger_names: NDArray[np.str_] = field(default_factory=lambda: np.zeros(0, str))
    corrections: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 2), np.float32))
    joined: bool = False

    def score_known(self, profiles: Profiles) -> Known:
        """Scores of the known speakers' utterances."""
        indices = self._speaker_indices(profiles)
        ranked, right, found = [], [], []
        for rows in self._rows(len(self.known)):
            scores = profiles.scores(self.known[rows])
            own = np.arange(len(scores)), indices[rows]
            if len(self.corrections):
                corrected = scores[own] + self.corrections[rows, 0]
                scores += self.corrections[rows, 1:]
                scores[own] = corrected
            right.append(scores[own])
            nearest, best = rank(scores)
            ranked.append(best)
            found.append(nearest[:, 0] == indices[rows])
        return Known(*(np.concatenate(parts) for parts in (ranked, right, found)))

    def score_strangers(self, profiles: Profiles) -> NDArray[np.float32]:
        """(I, R) scores of the speakers nearest to strangers.

        A stranger who is a known speaker gets the score `LEFT_OUT` for their own profile. If there are no strangers,
        all known speakers are left out in turn in the same way.
        """
        if len(self.strangers):
            prints, own = self.strangers, self.own_profiles(profiles)
        else:
            prints, own = self.known, self._speaker_indices(profiles)
        ranked = []
        for rows in self._rows(len(prints)):
            scores = profiles.scores(prints[rows])
            mine = np.flatnonzero(own[rows] >= 0)
            scores[mine, own[rows][mine]] = LEFT_OUT
            ranked.append(rank(scores)[1])
        return np.concatenate(ranked)

    def _speaker_indices(self, profiles: Profiles) -> NDArray[np.int64]:
        """(N,) indices of the known utterances' speakers."""
        indices = {name: index for index, name in enumerate(profiles.names)}
        return np.array([indices[name] for name in self.speakers.tolist()], np.int64)

    def own_profiles(self, profiles: Profiles) -> NDArray[np.int64]:
        """(I,) indices of the strangers' own profiles, −1 without one."""
        indices = {name: index for index, name in enumerate(profiles.names)}
        if not len(self.stranger_names):
            return np.full(len(self.strangers), -1)
        return np.array([indices.get(name, -1) for name in self.stranger_names.tolist()], np.int64)

    @staticmethod
    def _rows(count: int) -> Iterator[slice]:
        """Yield a few rows at a time, since each has a score for every speaker."""
        for start in range(0, count, 100):
            yield slice(start, start + 100)

    @property
    def stranger_groups(self) -> NDArray[np.integer]:
        """(I,) index of the stranger, in the order of `score_strangers`."""
        if len(self.strangers):
            return self.stranger_speakers
        return np.unique(self.speakers, return_inverse=True)[1]

    def without(self, name: str) -> CalibrationSet:
        """Copy without the utterances of a speaker."""
        keep = self.speakers != name
        others = self.stranger_names != name if len(self.stranger_names) else np.ones(len(self.strangers), bool)

        def part(rows: NDArray[Any], kept: NDArray[np.bool_]) -> NDArray[Any]:
            return rows[kept] if len(rows) else rows

        return replace(
            self,
            known=self.known[keep],
            speakers=self.speakers[keep],
            corrections=part(self.corrections, keep),
            strangers=self.strangers[others],
            stranger_speakers=self.stranger_speakers[others],
            stranger_names=part(self.stranger_names, others),
        )

    def renamed(self, old: str, new: str) -> CalibrationSet:
        """Copy with another name for a speaker."""
        speakers, strangers = (
            np.array([new if name == old else name for name in names.tolist()], str)
            for names in (self.speakers, self.stranger_names)
        )
        return replace(self, speakers=speakers, stranger_names=strangers)
