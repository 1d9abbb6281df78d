"""The answers of the page of `speakerid serve`. It stores only enrolled speakers.

Gradio displays it, see `speakerid.web.server`. Every recording is a temporary file of its own, which is
deleted as soon as it has been read, whatever the result. Errors that users can fix are reported in one sentence.

Names and rates are JSON values that any client may send, so they are checked here. Every answer uses the current
content of the bundle's file, since other programs enroll, forget and export while the page is open.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from speakerid.audio.decode import TooLong, decode
from speakerid.base.errors import UserError
from speakerid.recognition.recognizer import Recognizer
from speakerid.recognition.results import OtherEncoder, Voice
from speakerid.web.page_html import ranking, sentence, speakers

LEAST_PERCENT, MOST_PERCENT = 0.1, 50.0
"""Range of the rate of false accepts, in percent."""


@dataclass(frozen=True)
class Limits:
    """Limits of a recording that is spoken or dropped."""

    megabytes: float = 20.0
    seconds: float = 120.0


class Page:
    """Answers as HTML.

    Args:
        recognizer: identifies speakers; its bundle is changed by `enroll` and `forget`.
        limits: limits of a recording.
    """

    def __init__(self, recognizer: Recognizer, limits: Limits) -> None:
        self.limits = limits
        self._recognizer = recognizer
        self._turn = Lock()  # so that an answer never mixes two states of the bundle

    def identify(self, recording: Path, percent: object) -> tuple[Voice | None, str]:
        """Identify the speaker of a recording, and delete it.

        Args:
            recording: a temporary file.
            percent: percentage of strangers who may be given a name.

        Returns:
            The voice, for `reconsider`, or None if there was none; and the answer.
        """
        try:
            voice = self._listen(recording)
        except UserError as error:
            return None, sentence(f"No speaker can be identified in this recording: {error}")
        return voice, self.reconsider(voice, percent)

    def reconsider(self, voice: Voice | None, percent: object) -> str:
        """Identify the speaker of a voice at another rate of false accepts."""
        if voice is None:
            return ""
        try:
            false_accepts = _rate(percent)
            with self._current() as recognizer:
                return ranking(recognizer.answer(voice, false_accepts))
        except UserError as error:
            return sentence(f"No speaker can be identified: {error}")

    def gather(self, recordings: Sequence[Path], voices: Sequence[Voice]) -> tuple[list[Voice], str]:
        """Embed more recordings of a speaker to enroll, and delete them.

        Args:
            recordings: temporary files.
            voices: voices of earlier recordings.

        Returns:
            All voices, and a message.
        """
        gathered, passed = list(voices), []
        for recording in dict.fromkeys(recordings):  # a file named twice is deleted once
            try:
                gathered.append(self._listen(recording))
            except UserError as error:
                passed.append(f"{recording.name} cannot be used: {error}")
        return gathered, sentence(*passed, gathered_line(gathered))

    def enroll(self, name: object, voices: Sequence[Voice]) -> tuple[list[Voice], str]:
        """Enroll a speaker.

        Args:
            name: text; leading and trailing blanks are removed.
            voices: voices of the speaker, see `gather`.

        Returns:
            The voices that are still to be enrolled, and a message.
        """
        if not voices:
            return [], sentence("Not enrolled: no recording yet")
        try:
            text = _text(name).strip()
            with self._current() as recognizer:
                enrollment = recognizer.learn(text, voices)
        except OtherEncoder as error:  # these voices can never be used again
            return [], sentence(f"Not enrolled: {error}")
        except UserError as error:
            return list(voices), sentence(f"Not enrolled: {error}")
        skipped = (f"Skipped: {line}" for line in enrollment.skipped)
        warnings = (f"Warning: {line}" for line in enrollment.warnings)
        return [], sentence(f"{text} is enrolled from {_recordings(enrollment.added)}", *skipped, *warnings)

    def forget(self, name: object) -> str:
        """Delete every voice print of a speaker, and return a message."""
        if name is None or name == "":
            return sentence("Not forgotten: choose a name")
        try:
            text = _text(name)
            with self._current() as recognizer:
                recognizer.forget(text)
        except UserError as error:
            return sentence(f"Not forgotten: {error}")
        return sentence(f"{text} is forgotten")

    def speakers(self) -> tuple[list[str], str]:
        """Names in alphabetical order, and a table; without a bundle, no names and an error message."""
        try:
            with self._current() as recognizer:
                profiles = recognizer.bundle.profiles
        except UserError as error:
            return [], sentence(f"The speakers cannot be listed: {error}")
        rows = sorted(zip(profiles.names, profiles.clips, profiles.trained, strict=True), key=_alphabetically)
        return [name for name, _, _ in rows], speakers(rows)

    @contextmanager
    def _current(self) -> Iterator[Recognizer]:
        """Lock the recognizer for one thread, with the current content of its bundle's file.

        Raises:
            UserError: the file is missing or damaged. The next call reads it again.
        """
        with self._turn:
            self._recognizer.reload_if_changed()
            yield self._recognizer

    def _listen(self, recording: Path) -> Voice:
        try:
            sound = decode(recording, max_seconds=self.limits.seconds)
        except TooLong as error:
            raise UserError(f"is longer than {self.limits.seconds:g} s, the limit (--max-seconds)") from error
        finally:
            if recording.is_file():  # a client may name a folder
                recording.unlink(missing_ok=True)
        with self._current() as recognizer:
            return recognizer.listen(sound)


def gathered_line(voices: Sequence[Voice]) -> str:
    """Message about the recordings gathered so far."""
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
