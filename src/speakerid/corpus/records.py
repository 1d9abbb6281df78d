"""Who says what, where: the records every corpus is made of.

Letters: N utterances.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, overload

import numpy as np
from numpy.typing import NDArray

from speakerid.config import FeatureConfig

PACKED = "packed"
"""Folder of a corpus: all frames in one file, see `speakerid.corpus.store`."""
STAGE = "prepared"
"""Folder of a corpus: what preparation has computed, see `speakerid.corpus.stage`."""
Part = Literal["labelled", "test", "strangers"]
PARTS: tuple[Part, ...] = ("labelled", "test", "strangers")
COMPANY = "company/"
"""What the names of people begin with whose recordings only help to train: `company/FOLDER/NAME`."""
UNKNOWN = -1
"""In place of the number of a speaker or session that nobody tells."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """One stretch of speech of one speaker."""

    feature_path: str
    """Of its features, relative to the corpus."""
    length: int
    """Frames."""
    speaker: str | None = None
    """None where nobody says, as in test data."""
    session: str | None = None
    """The occasion of the recording, unique within its speaker; None where it is not known."""
    copy_of: str | None = None
    """The feature path of the utterance this is an augmented copy of; None for a recording as it was."""


@dataclass(frozen=True, eq=False)
class Utterances(Sequence[Utterance]):
    """N utterances as columns, so that a million of them open in a moment; each row reads as an `Utterance`.

    Attributes:
        names: N feature paths.
        lengths: (N,) frames.
        speakers: (N,) places in `speaker_names`, or UNKNOWN.
        sessions: (N,) places in `session_names`, other ones for every speaker, or UNKNOWN.
        origins: (N,) row of the utterance that a row is an augmented copy of; its own row where it is none.
        speaker_names: those of the corpus, at the places of their classes, and perhaps strangers behind them.
        session_names: of all speakers.
    """

    names: Sequence[str]
    lengths: NDArray[np.integer]
    speakers: NDArray[np.integer]
    sessions: NDArray[np.integer]
    origins: NDArray[np.integer]
    speaker_names: tuple[str, ...]
    session_names: tuple[str, ...]

    @staticmethod
    def of(rows: Iterable[Utterance], speakers: Sequence[str] = ()) -> Utterances:
        """Columns of the given rows.

        Args:
            rows: in order; a copy's origin is among them.
            speakers: names that come first in `speaker_names`; names only found in the rows follow.
        """
        rows = tuple(rows)
        names = [row.feature_path for row in rows]
        speaker_numbers = {name: number for number, name in enumerate(speakers)}
        session_numbers: dict[tuple[str | None, str], int] = {}
        places = {name: place for place, name in enumerate(names)} if any(row.copy_of for row in rows) else {}

        def speaker(row: Utterance) -> int:
            return UNKNOWN if row.speaker is None else speaker_numbers.setdefault(row.speaker, len(speaker_numbers))

        def session(row: Utterance) -> int:
            if row.session is None:
                return UNKNOWN
            return session_numbers.setdefault((row.speaker, row.session), len(session_numbers))

        return Utterances(
            names,
            np.array([row.length for row in rows], np.int64),
            np.array([speaker(row) for row in rows], np.int32),
            np.array([session(row) for row in rows], np.int32),
            np.array([places[row.copy_of] if row.copy_of else place for place, row in enumerate(rows)], np.int32),
            tuple(speaker_numbers),
            tuple(name for _, name in session_numbers),
        )

    @cached_property
    def company(self) -> NDArray[np.bool_]:
        """(N,) true at utterances of company, see `COMPANY`: they train, and are never held out."""
        names = np.array([name.startswith(COMPANY) for name in self.speaker_names] + [False])  # the last for UNKNOWN
        return names[self.speakers]

    @property
    def held_out_from(self) -> NDArray[np.int64]:
        """Rows, ascending, that validation or a fold may hold out: no augmented copies and no company."""
        rows = np.arange(len(self))
        return rows[(self.origins == rows) & ~self.company]

    def __len__(self) -> int:
        return len(self.lengths)

    @overload
    def __getitem__(self, place: int) -> Utterance: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Utterance]: ...
    def __getitem__(self, place: int | slice) -> Utterance | Sequence[Utterance]:
        if isinstance(place, slice):
            return [self[row] for row in range(len(self))[place]]
        row = range(len(self))[place]
        speaker, session, origin = int(self.speakers[row]), int(self.sessions[row]), int(self.origins[row])
        return Utterance(
            self.names[row],
            int(self.lengths[row]),
            None if speaker == UNKNOWN else self.speaker_names[speaker],
            None if session == UNKNOWN else self.session_names[session],
            None if origin == row else self.names[origin],
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Utterances):
            return NotImplemented
        return self.speaker_names == other.speaker_names and list(self) == list(other)


@dataclass(frozen=True)
class Company:
    """How much company a corpus has. It names folders and no person."""

    folders: list[str]
    people: int
    """Who train."""
    utterances: int
    """Of those who train."""
    minutes: float
    """Of those who train, without silences."""
    strangers: int
    """People who train nothing, and stand for strangers."""

    def __str__(self) -> str:
        strangers = f"; {self.strangers} more people stand for strangers" if self.strangers else ""
        return f"company: {self.people} people, {self.utterances:,} utterances, {self.minutes:,.1f} min{strangers}"


@dataclass(frozen=True)
class Corpus:
    """Utterances on disk with the names of their speakers."""

    root: Path
    features: FeatureConfig
    speakers: tuple[str, ...]
    """A speaker's class is its place here."""
    labelled: Utterances = field(repr=False)
    """Names in its `speaker_names` behind `speakers` are voices that only help to train."""
    test: Utterances = field(repr=False, default_factory=lambda: Utterances.of(()))
    """To be recognised, in the order of the submission."""
    strangers: Utterances = field(repr=False, default_factory=lambda: Utterances.of(()))
    """Of speakers that are none of `speakers`, to find out when to say so."""

    @property
    def extra_classes(self) -> int:
        """Voices behind the speakers' that only help to train: company, and copies at another speed."""
        return len(self.labelled.speaker_names) - len(self.speakers)

    def part(self, name: Part) -> Utterances:
        return {"labelled": self.labelled, "test": self.test, "strangers": self.strangers}[name]

    @cached_property
    def company(self) -> Company | None:
        """How much company there is, None if there is none."""
        names, strangers = (
            {part.speaker_names[speaker] for speaker in np.unique(part.speakers[part.company])}
            for part in (self.labelled, self.strangers)
        )
        if not names | strangers:
            return None
        frames = int(self.labelled.lengths[self.labelled.company].sum())
        return Company(
            sorted({name.split("/")[1] for name in names | strangers if name.count("/") > 1}),
            len(names),
            int(self.labelled.company.sum()),
            round(frames / self.features.frames_per_second / 60, 1),
            len(strangers),
        )

    @cached_property
    def answers(self) -> tuple[str, ...] | None:
        """Speakers of `test`, where the corpus tells."""
        names = tuple(utterance.speaker for utterance in self.test)
        return tuple(map(str, names)) if names and None not in names else None
