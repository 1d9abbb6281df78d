"""What a recogniser says of recordings.

Letters: D width of a voice print.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from speakerid.errors import UserError

Said = Literal["known", "unknown", "too short", "silent", "broken"]


@dataclass(frozen=True)
class Voice:
    """What is left of a recording: nothing of what was said."""

    seconds: float
    """Of sound, pauses cut."""
    voice_print: NDArray[np.float32]
    """(D,), of length 1."""
    encoder: str
    """Fingerprint of what made it, see `Bundle.encoder`."""
    digest: int | None = None
    """Of the samples; the same for the same recording, None if unknown."""
    source: str = ""
    """Name of the file, empty if it is unknown."""


@dataclass(frozen=True)
class Answer:
    """Who speaks in a recording."""

    said: Said
    """Whether there is a name; else why not."""
    name: str | None
    """None unless `said` is known."""
    probability: float
    """Of the name, or where nobody is named that it is none of those known; nan where nothing was recognised."""
    ranking: tuple[tuple[str, float], ...]
    """Names and probabilities, the most probable first; empty where there was nothing to recognise."""
    seconds: float
    """Of sound, pauses cut; nan where it could not be heard."""
    threshold: float
    """Probability from which on a name is said, at this duration and rate of false accepts; nan as above."""
    reason: str = ""
    """What is wrong with the recording, where something is."""


@dataclass(frozen=True)
class Verdict:
    """Whether two recordings are of one speaker."""

    same: bool
    score: float
    """Of the two voice prints, see `speakerid.recognition.plda.Plda`; positive where one speaker is more likely."""
    probability: float
    """That they are, if same and different speakers are equally frequent."""
    threshold: float
    """Probability from which on the answer is yes."""
    seconds: float
    """Of sound in the shorter of the two, for which all this holds."""


class Unheard(UserError):
    """There is nobody to be recognised in a recording."""

    def __init__(self, said: Said, reason: str, seconds: float = float("nan")) -> None:
        super().__init__(reason)
        self.said: Said = said
        self.seconds = seconds

    def answer(self) -> Answer:
        """Why nobody is named."""
        return Answer(self.said, None, float("nan"), (), self.seconds, float("nan"), str(self))


class OtherEncoder(UserError):
    """A voice print that another encoder made than the bundle's; the two say nothing about each other."""

    def __init__(self) -> None:
        super().__init__(
            "this voice was recorded before the bundle was exported from another training; give the recording again"
        )
