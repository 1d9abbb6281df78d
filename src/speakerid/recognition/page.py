"""What the page of `speakerid serve` answers, and what it keeps: nothing but who is enrolled.

Gradio shows it, see `speakerid.recognition.serving`. Every recording is a temporary file of one's own; it is deleted as
soon as it was heard, whatever came out. What a user can mend is said in one sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from speakerid.audio.decode import TooLong, decode
from speakerid.errors import UserError
from speakerid.recognition.answers import Voice
from speakerid.recognition.page_html import ranking, sentence, speakers
from speakerid.recognition.recognizer import Recognizer


@dataclass(frozen=True)
class Limits:
    """Of one recording that is spoken or dropped."""

    megabytes: float = 20.0
    seconds: float = 120.0


class Page:
    """The answers, as HTML.

    Args:
        recognizer: who names speakers; its bundle is changed by `enroll` and `forget`.
        limits: of a recording.
    """

    def __init__(self, recognizer: Recognizer, limits: Limits) -> None:
        self.limits = limits
        self._recognizer = recognizer
        self._turn = Lock()  # an answer would mix two states of the bundle if it changed in between

    @property
    def names(self) -> list[str]:
        """Whom it knows, in alphabetical order."""
        return sorted(self._recognizer.speakers, key=str.casefold)

    def identify(self, recording: Path, false_accepts: float) -> tuple[Voice | None, str]:
        """Who speaks in a recording, which is deleted.

        Returns:
            The voice, for `reconsider`, or None where there was none to be heard; the answer.
        """
        try:
            voice = self._hear(recording)
        except UserError as error:
            return None, sentence(f"Nobody can be recognised in this recording: {error}")
        return voice, self.reconsider(voice, false_accepts)

    def reconsider(self, voice: Voice | None, false_accepts: float) -> str:
        """Whose voice it is at another rate of false accepts."""
        if voice is None:
            return ""
        with self._turn:
            return ranking(self._recognizer.answer(voice, false_accepts))

    def gather(self, recordings: Sequence[Path], voices: Sequence[Voice]) -> tuple[list[Voice], str]:
        """More recordings of somebody who is to be enrolled; they are deleted.

        Args:
            recordings: temporary files.
            voices: what was left of earlier ones.

        Returns:
            What is left of all of them, and what to say.
        """
        gathered, passed = list(voices), []
        for recording in recordings:
            try:
                gathered.append(self._hear(recording))
            except UserError as error:
                passed.append(f"{recording.name} is of no use: {error}")
        return gathered, sentence(*passed, heard(gathered))

    def enroll(self, name: str, voices: Sequence[Voice]) -> tuple[list[Voice], str]:
        """Learn a speaker.

        Returns:
            The voices that are still to be enrolled, and what to say.
        """
        if not voices:
            return [], sentence("Nobody was enrolled: there is no recording yet")
        try:
            with self._turn:
                self._recognizer.learn(name.strip(), voices)
        except UserError as error:
            return list(voices), sentence(f"Nobody was enrolled: {error}")
        return [], sentence(f"{name.strip()} is enrolled from {_recordings(len(voices))}")

    def forget(self, name: str | None) -> str:
        """Delete every voice print of a speaker; returns what to say."""
        if not name:
            return sentence("Nobody was forgotten: choose a name")
        try:
            with self._turn:
                self._recognizer.forget(name)
        except UserError as error:
            return sentence(f"Nobody was forgotten: {error}")
        return sentence(f"{name} is forgotten")

    def speakers(self) -> str:
        """Whom it knows, as a table."""
        profiles = self._recognizer.bundle.profiles
        rows = zip(profiles.names, profiles.clips, profiles.trained, strict=True)
        return speakers(sorted(rows, key=lambda row: row[0].casefold()))

    def _hear(self, recording: Path) -> Voice:
        try:
            sound = decode(recording, max_seconds=self.limits.seconds)
        except TooLong as error:
            raise UserError(f"is longer than {self.limits.seconds:g} s, the limit (--max-seconds)") from error
        finally:
            recording.unlink(missing_ok=True)
        with self._turn:
            return self._recognizer.listen(sound.waveform, sound.sample_rate)


def heard(voices: Sequence[Voice]) -> str:
    """What has been gathered of somebody."""
    if not voices:
        return "No recording yet"
    return f"{_recordings(len(voices))} so far, {sum(voice.seconds for voice in voices):.1f} s of sound"


def _recordings(count: int) -> str:
    return f"{count} recording{'s' if count != 1 else ''}"
