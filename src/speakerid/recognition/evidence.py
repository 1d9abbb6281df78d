"""What thresholds and probabilities are fitted on: voices that the model was not trained on.

A bundle carries it, so that both can be fitted anew whenever somebody is enrolled or forgotten.

Letters: N utterances of known speakers, I of strangers, D width of a voice print, R speakers ranked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speakerid.recognition.profiles import Profiles, rank

NOBODY = -1000.0
"""Stands for the score of a speaker who is left out: far below those who compete for a voice print."""
DURATIONS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds that utterances are cut to; what falls between two of them is interpolated."""
JOINED = (8.0, 16.0, 32.0)
"""Seconds that several utterances of a session are joined to, where single ones are shorter."""


@dataclass(frozen=True)
class Known:
    """Scores of N utterances of known speakers."""

    ranked: NDArray[np.float32]
    """(N, R), of the nearest speakers, the highest first."""
    right: NDArray[np.float32]
    """(N,), of whoever speaks."""
    found: NDArray[np.bool_]
    """(N,), whether that is the nearest."""


@dataclass(frozen=True)
class Evidence:
    """Voice prints of utterances cut to one duration.

    Attributes:
        seconds: the duration; of utterances that are shorter all there is, as long as it is more than the next
            shorter duration.
        known: (N, D) of utterances of known speakers that neither the model nor the profiles have seen.
        speakers: (N,) names of their speakers.
        strangers: (I, D) of speakers who are not known.
        stranger_speakers: (I,) which of the strangers.
        stranger_names: (I,) names of strangers who are known speakers, and were strangers to the model that made their
            voice prints; empty texts for all others, or no texts at all.
        corrections: (N, 2) added to the score of an utterance's speaker, and to those of all others, see
            `held_out.corrections`; no rows if nothing is added.
        joined: whether each is several utterances of one session joined.
    """

    seconds: float
    known: NDArray[np.float32]
    speakers: NDArray[np.str_]
    strangers: NDArray[np.float32]
    stranger_speakers: NDArray[np.integer]
    stranger_names: NDArray[np.str_] = field(default_factory=lambda: np.zeros(0, str))
    corrections: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 2), np.float32))
    joined: bool = False

    def of_known(self, profiles: Profiles) -> Known:
        """How near the known speakers' utterances come to them and to others."""
        places = self._places(profiles)
        ranked, right, found = [], [], []
        for rows in self._rows(len(self.known)):
            scores = profiles.scores(self.known[rows])
            own = np.arange(len(scores)), places[rows]
            if len(self.corrections):
                corrected = scores[own] + self.corrections[rows, 0]
                scores += self.corrections[rows, 1:]
                scores[own] = corrected
            right.append(scores[own])
            nearest, best = rank(scores)
            ranked.append(best)
            found.append(nearest[:, 0] == places[rows])
        return Known(*(np.concatenate(parts) for parts in (ranked, right, found)))

    def of_strangers(self, profiles: Profiles) -> NDArray[np.float32]:
        """(I, R) scores of the speakers nearest to strangers.

        `NOBODY` stands for the score of a speaker for their own utterances: of strangers who are known speakers, and,
        where there are no strangers, of all known speakers, who are left out in turn.
        """
        if len(self.strangers):
            prints, own = self.strangers, self.own_profiles(profiles)
        else:
            prints, own = self.known, self._places(profiles)
        ranked = []
        for rows in self._rows(len(prints)):
            scores = profiles.scores(prints[rows])
            mine = np.flatnonzero(own[rows] >= 0)
            scores[mine, own[rows][mine]] = NOBODY
            ranked.append(rank(scores)[1])
        return np.concatenate(ranked)

    def _places(self, profiles: Profiles) -> NDArray[np.int64]:
        """(N,) of the known utterances' speakers."""
        places = {name: place for place, name in enumerate(profiles.names)}
        return np.array([places[name] for name in self.speakers.tolist()], np.int64)

    def own_profiles(self, profiles: Profiles) -> NDArray[np.int64]:
        """(I,) index of the strangers' own profiles, −1 for those who have none."""
        places = {name: place for place, name in enumerate(profiles.names)}
        if not len(self.stranger_names):
            return np.full(len(self.strangers), -1)
        return np.array([places.get(name, -1) for name in self.stranger_names.tolist()], np.int64)

    @staticmethod
    def _rows(count: int) -> Iterator[slice]:
        """A few at a time: the scores of a hundred thousand speakers are many."""
        for start in range(0, count, 100):
            yield slice(start, start + 100)

    @property
    def stranger_groups(self) -> NDArray[np.integer]:
        """(I,) which stranger speaks, in the order of `of_strangers`."""
        if len(self.strangers):
            return self.stranger_speakers
        return np.unique(self.speakers, return_inverse=True)[1]

    def without(self, name: str) -> Evidence:
        """Without everything of one speaker."""
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

    def renamed(self, old: str, new: str) -> Evidence:
        """With another name for a speaker."""
        speakers, strangers = (
            np.array([new if name == old else name for name in names.tolist()], str)
            for names in (self.speakers, self.stranger_names)
        )
        return replace(self, speakers=speakers, stranger_names=strangers)
