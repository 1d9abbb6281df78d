"""Who says what, where: the plain records every corpus is made of."""

from dataclasses import dataclass, field
from pathlib import Path

from speakerid.config import FeatureConfig


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


@dataclass(frozen=True)
class Corpus:
    """Utterances on disk with the names of their speakers."""

    root: Path
    features: FeatureConfig
    speakers: tuple[str, ...]
    """A speaker's class is its place here."""
    labelled: tuple[Utterance, ...] = field(repr=False)
    test: tuple[Utterance, ...] = field(repr=False, default=())
    """To be recognised, in the order of the submission."""
    answers: tuple[str, ...] | None = field(repr=False, default=None)
    """Speakers of `test`, where the corpus tells."""

    def labels(self) -> list[int]:
        """The class of every labelled utterance."""
        classes = {speaker: index for index, speaker in enumerate(self.speakers)}
        return [classes[str(utterance.speaker)] for utterance in self.labelled]
