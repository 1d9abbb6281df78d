"""Utterances and the corpus that they form.

Shapes: N utterances.
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
"""Folder of a corpus with all frames in one file, see `speakerid.corpus.store`."""
STAGE = "prepared"
"""Folder of a corpus with the features that preparation has computed, see `speakerid.preparation.stage`."""
Part = Literal["labelled", "test", "strangers"]
PARTS: tuple[Part, ...] = ("labelled", "test", "strangers")
COMPANY = "company/"
"""Name prefix of people whose recordings are only for training: `company/FOLDER/NAME`."""
UNKNOWN = -1
"""Index of an unknown speaker or session."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """A segment of speech of one speaker."""

    feature_path: str
    """Path of the features, relative to the corpus."""
    length: int
    """Number of frames."""
    speaker: str | None = None
    """Name of the speaker; None if unknown, as in test data."""
    session: str | None = None
    """Recording session, unique within the speaker; None if unknown."""
    copy_of: str | None = None
    """Feature path of the utterance that this is an augmented copy of; None for an original recording."""


@dataclass(frozen=True, eq=False)
class Utterances(Sequence[Utterance]):
    """Sequence of N utterances, stored as columns so that a million of them open quickly.

    Attributes:
        names: N feature paths.
        lengths: (N,) number of frames.
        speakers: (N,) index into `speaker_names`, or UNKNOWN.
        sessions: (N,) index into `session_names`, never shared by speakers, or UNKNOWN.
        origins: (N,) row of the original of an augmented copy; the row itself for an original.
        speaker_names: names of the speakers; the index of a corpus's speaker is its class, others follow.
        session_names: names of the sessions of all speakers.
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
        """Create the columns from rows.

        Args:
            rows: utterances, including the originals of augmented copies.
            speakers: first names of `speaker_names`; other names in the rows follow.
        """
        rows = tuple(rows)
        names = [row.feature_path for row in rows]
        speaker_numbers = {name: number for number, name in enumerate(speakers)}
        session_numbers: dict[tuple[str | None, str], int] = {}
        indices = {name: index for index, name in enumerate(names)} if any(row.copy_of for row in rows) else {}

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
            np.array([indices[row.copy_of] if row.copy_of else index for index, row in enumerate(rows)], np.int32),
            tuple(speaker_numbers),
            tuple(name for _, name in session_numbers),
        )

    @cached_property
    def company(self) -> NDArray[np.bool_]:
        """(N,) true at utterances of company, see `COMPANY`; they are used for training and never held out."""
        names = np.array([name.startswith(COMPANY) for name in self.speaker_names] + [False])  # the last for UNKNOWN
        return names[self.speakers]

    @property
    def held_out_from(self) -> NDArray[np.int64]:
        """Rows, ascending, that may be held out: neither augmented copies nor company."""
        rows = np.arange(len(self))
        return rows[(self.origins == rows) & ~self.company]

    def __len__(self) -> int:
        return len(self.lengths)

    @overload
    def __getitem__(self, index: int) -> Utterance: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Utterance]: ...
    def __getitem__(self, index: int | slice) -> Utterance | Sequence[Utterance]:
        if isinstance(index, slice):
            return [self[row] for row in range(len(self))[index]]
        row = range(len(self))[index]
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
    """Amount of company in a corpus. It names folders, not people."""

    folders: list[str]
    people: int
    """Number of people used for training."""
    utterances: int
    """Number of their utterances."""
    minutes: float
    """Duration of their utterances without silence."""
    strangers: int
    """Number of people held out as strangers."""

    def __str__(self) -> str:
        strangers = f"; {self.strangers} more people held out as strangers" if self.strangers else ""
        return f"company: {self.people} people, {self.utterances:,} utterances, {self.minutes:,.1f} min{strangers}"


@dataclass(frozen=True)
class Corpus:
    """Utterances on disk with the names of their speakers."""

    root: Path
    features: FeatureConfig
    speakers: tuple[str, ...]
    """Names of the speakers; the index of a name is its class."""
    labelled: Utterances = field(repr=False)
    """Labelled utterances. Names in `labelled.speaker_names` after `speakers` are classes for training only."""
    test: Utterances = field(repr=False, default_factory=lambda: Utterances.of(()))
    """Utterances to recognize, in the order of the submission."""
    strangers: Utterances = field(repr=False, default_factory=lambda: Utterances.of(()))
    """Utterances of people not in `speakers`, to fit the threshold for unknown speakers."""

    @property
    def extra_classes(self) -> int:
        """Number of classes for training only, after those of the speakers: company, and copies at other speeds."""
        return len(self.labelled.speaker_names) - len(self.speakers)

    def part(self, name: Part) -> Utterances:
        return {"labelled": self.labelled, "test": self.test, "strangers": self.strangers}[name]

    @cached_property
    def company(self) -> Company | None:
        """Amount of company, None if there is none."""
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
        """Speakers of `test`, None if they are unknown."""
        names = tuple(utterance.speaker for utterance in self.test)
        return tuple(map(str, names)) if names and None not in names else None
