"""Results of recognition: voices, answers and verdicts.

Shapes: D width of a voice print.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from speakerid.base.errors import UserError

Said = Literal["known", "unknown", "too short", "silent", "broken"]


@dataclass(frozen=True)
class Voice:
    """Voice in a recording: a voice print, from which the words cannot be recovered."""

    seconds: float
    """Duration of the sound without pauses."""
    voice_print: NDArray[np.float32]
    """(D,) unit vector."""
    encoder: str
    """Fingerprint of the encoder, see `Bundle.encoder`."""
    digest: int | None = None
    """Digest of the samples, the same for the same recording; None if unknown."""
    source: str = ""
    """Path of the file; empty if unknown."""


@dataclass(frozen=True)
class Answer:
    """Who speaks in a recording."""

    said: Said
    """Known if there is a name; else why not."""
    name: str | None
    """Name of the speaker; None unless `said` is known."""
    probability: float
    """Probability of the name; if unknown, probability of a stranger; NaN if nothing was recognized."""
    ranking: tuple[tuple[str, float], ...]
    """Names and probabilities in descending order; empty if nothing was recognized."""
    seconds: float
    """Duration of the sound without pauses; NaN if the recording cannot be read."""
    threshold: float
    """Lowest probability for which a name is given, at this duration and rate of false accepts; NaN as above."""
    reason: str = ""
    """What is wrong with the recording, if anything."""


@dataclass(frozen=True)
class Verdict:
    """Whether two recordings are of one speaker."""

    same: bool
    score: float
    """Score of the two voice prints, see `speakerid.recognition.plda.Plda`; positive if one speaker is more likely."""
    probability: float
    """Probability of one speaker, if same and different speakers are equally frequent."""
    threshold: float
    """Lowest probability for which the answer is yes."""
    seconds: float
    """Duration of the sound in the shorter of the two."""


@dataclass(frozen=True)
class Segment:
    """Segment in which one person speaks, known or not."""

    start: float
    """Seconds from the beginning of the recording."""
    end: float
    name: str | None
    """Name of the speaker; None for a stranger."""
    probability: float
    """Probability of the name, or of a stranger; 1 if the turn was corrected."""
    stranger: int | None = None
    """Number of the stranger, from 1 in the order of first appearance in the recordings given together; None for a
    known speaker, and for a voice with too little sound to be recognized again."""


class Unheard(UserError):
    """A recording has no voice that could be recognized."""

    def __init__(self, said: Said, reason: str, seconds: float = float("nan")) -> None:
        super().__init__(reason)
        self.said: Said = said
        self.seconds = seconds

    def answer(self) -> Answer:
        """Answer without a name, for this reason."""
        return Answer(self.said, None, float("nan"), (), self.seconds, float("nan"), str(self))


class OtherEncoder(UserError):
    """A voice print was made by another encoder than the bundle's, so the two cannot be compared."""

    def __init__(self) -> None:
        super().__init__(
            "this voice was embedded before the bundle was exported from another training; give the recording again"
        )
