"""What the page of `speakerid serve` answers, and what it keeps: nothing but who is enrolled.

Gradio shows it, see `speakerid.recognition.serving`. Every recording is a temporary file of one's own; it is deleted as
soon as it was heard, whatever came out. What a user can mend is said in one sentence.

Names and rates are JSON values that any client may send, so they are checked here. Every answer is given with the
content that the bundle's file has at that moment: other programs enroll, forget and export while the page is open.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from speakerid.audio.decode import TooLong, decode
from speakerid.errors import UserError
from speakerid.recognition.answers import OtherEncoder, Voice
from speakerid.recognition.page_html import ranking, sentence, speakers
from speakerid.recognition.recognizer import Recognizer

LEAST_PERCENT, MOST_PERCENT = 0.1, 50.0
"""Range of the rate of false accepts."""


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

    def identify(self, recording: Path, percent: object) -> tuple[Voice | None, str]:
        """Who speaks in a recording, which is deleted.

        Args:
            recording: a temporary file.
            percent: of strangers who may be given a name.

        Returns:
            The voice, for `reconsider`, or None where there was none to be heard; the answer.
        """
        try:
            voice = self._hear(recording)
        except UserError as error:
            return None, sentence(f"Nobody can be recognised in this recording: {error}")
        return voice, self.reconsider(voice, percent)

    def reconsider(self, voice: Voice | None, percent: object) -> str:
        """Whose voice it is at another rate of false accepts."""
        if voice is None:
            return ""
        try:
            false_accepts = _rate(percent)
            with self._current() as recognizer:
                return ranking(recognizer.answer(voice, false_accepts))
        except UserError as error:
            return sentence(f"Nobody can be recognised: {error}")

    def gather(self, recordings: Sequence[Path], voices: Sequence[Voice]) -> tuple[list[Voice], str]:
        """More recordings of somebody who is to be enrolled; they are deleted.

        Args:
            recordings: temporary files.
            voices: what was left of earlier ones.

        Returns:
            What is left of all of them, and what to say.
        """
        gathered, passed = list(voices), []
        for recording in dict.fromkeys(recordings):  # a file that is named twice is deleted once
            try:
                gathered.append(self._hear(recording))
            except UserError as error:
                passed.append(f"{recording.name} is of no use: {error}")
        return gathered, sentence(*passed, heard(gathered))

    def enroll(self, name: object, voices: Sequence[Voice]) -> tuple[list[Voice], str]:
        """Learn a speaker.

        Args:
            name: text; blanks at its ends are left out.
            voices: of the speaker, see `gather`.

        Returns:
            The voices that are still to be enrolled, and what to say.
        """
        if not voices:
            return [], sentence("Nobody was enrolled: there is no recording yet")
        try:
            text = _text(name).strip()
            with self._current() as recognizer:
                enrollment = recognizer.learn(text, voices)
        except OtherEncoder as error:  # these voices will never be of use again
            return [], sentence(f"Nobody was enrolled: {error}")
        except UserError as error:
            return list(voices), sentence(f"Nobody was enrolled: {error}")
        passed_over = (f"Passed over: {line}" for line in enrollment.passed_over)
        warnings = (f"Warning: {line}" for line in enrollment.warnings)
        return [], sentence(f"{text} is enrolled from {_recordings(enrollment.added)}", *passed_over, *warnings)

    def forget(self, name: object) -> str:
        """Delete every voice print of a speaker; returns what to say."""
        if name is None or name == "":
            return sentence("Nobody was forgotten: choose a name")
        try:
            text = _text(name)
            with self._current() as recognizer:
                recognizer.forget(text)
        except UserError as error:
            return sentence(f"Nobody was forgotten: {error}")
        return sentence(f"{text} is forgotten")

    def speakers(self) -> tuple[list[str], str]:
        """Whom it knows: the names in alphabetical order, and a table; no names and a sentence without a bundle."""
        try:
            with self._current() as recognizer:
                profiles = recognizer.bundle.profiles
        except UserError as error:
            return [], sentence(f"The speakers cannot be listed: {error}")
        rows = sorted(zip(profiles.names, profiles.clips, profiles.trained, strict=True), key=_alphabetically)
        return [name for name, _, _ in rows], speakers(rows)

    @contextmanager
    def _current(self) -> Iterator[Recognizer]:
        """The recognizer with what its bundle's file holds now, for one thread at a time.

        Raises:
            UserError: the file is missing or damaged. It is read again the next time.
        """
        with self._turn:
            self._recognizer.reload_if_changed()
            yield self._recognizer

    def _hear(self, recording: Path) -> Voice:
        try:
            sound = decode(recording, max_seconds=self.limits.seconds)
        except TooLong as error:
            raise UserError(f"is longer than {self.limits.seconds:g} s, the limit (--max-seconds)") from error
        finally:
            if recording.is_file():  # a client may name a folder
                recording.unlink(missing_ok=True)
        with self._current() as recognizer:
            return recognizer.listen(sound)


def heard(voices: Sequence[Voice]) -> str:
    """What has been gathered of somebody."""
    if not voices:
        return "No recording yet"
    return f"{_recordings(len(voices))} so far, {sum(voice.seconds for voice in voices):.1f} s of sound"


def _text(name: object) -> str:
    if not isinstance(name, str):
        raise UserError(f"name: found {reprlib.repr(name)}, expected text")
    return name


def _rate(percent: object) -> float:
    """Share of strangers who may be given a name."""
    if (
        isinstance(percent, bool)
        or not isinstance(percent, int | float)
        or not LEAST_PERCENT <= percent <= MOST_PERCENT
    ):
        expected = f"expected a number from {LEAST_PERCENT:g} to {MOST_PERCENT:g}"
        raise UserError(f"false accepts: found {reprlib.repr(percent)}, {expected}")
    return percent / 100


def _alphabetically(row: tuple[str, int, bool]) -> str:
    return row[0].casefold()


def _recordings(count: int) -> str:
    return f"{count} recording{'s' if count != 1 else ''}"
