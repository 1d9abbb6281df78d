"""Identify speakers: recordings in, names or `unknown` out.

Shapes: N samples, B recordings, T frames, M mel bands, D width of a voice print.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from speakerid.audio.decode import Sound
from speakerid.base.errors import UserError
from speakerid.base.files import StrPath
from speakerid.recognition import FALSE_ACCEPTS
from speakerid.recognition.bundle import Bundle, version_of
from speakerid.recognition.enrollment import Enrollment, enroll
from speakerid.recognition.identification import answer, verdict, verification_rule
from speakerid.recognition.identify_files import answers_of_files
from speakerid.recognition.live import LiveTimeline
from speakerid.recognition.results import Answer, OtherEncoder, Unheard, Verdict, Voice
from speakerid.recognition.timelines import Timelines
from speakerid.recognition.waveforms import Recording, path_of, several


class Recognizer(Timelines):
    """Identifies speakers, and enrolls new ones without training.

    Args:
        bundle: the bundle.
        path: file of the bundle, if `enroll`, `forget`, `rename`, `correct` and `undo` are to change it too.
    """

    def __repr__(self) -> str:
        where = "" if self.path is None else f'"{self.path}", '
        return f"Recognizer({where}{self.bundle.size})"

    @staticmethod
    def load(path: StrPath) -> Recognizer:
        """Load a bundle.

        Raises:
            UserError: see `Bundle.load`.
        """
        found = path_of(path)
        if found is None:
            raise UserError(f"bundle: found {type(path).__name__}, expected the path of a bundle")
        version = version_of(found)  # before reading, so that no change is missed
        recognizer = Recognizer(Bundle.load(found), found)
        recognizer._version = version
        return recognizer

    @property
    def speakers(self) -> tuple[str, ...]:
        """Names of the known speakers."""
        return self.bundle.profiles.names

    def listen(self, recording: Recording | Sound, sample_rate: int | None = None) -> Voice:
        """Embed the voice in a recording.

        Args:
            recording: a file, or (N,), (channels, N) or (N, channels) samples: floats in [-1, 1], or integers, which
                are scaled by their type, see `waveform_of`; or a file decoded by `decode`.
            sample_rate: sample rate of samples, in Hz; files have their own.

        Raises:
            Unheard: the recording is broken, silent or too short.
            UserError: the recording is neither a path nor samples with a rate.
        """
        return self._encoder.listen(recording, sample_rate)

    def embed(self, recording: Recording | Sound, sample_rate: int | None = None) -> NDArray[np.float32]:
        """(D,) voice print of a recording, of length 1; arguments and errors as for `listen`."""
        return self.listen(recording, sample_rate).voice_print

    def embed_features(self, frames: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """(B, D) voice prints of (T, M) features of B recordings; each is independent of the others."""
        return self._encoder.embed(frames)

    def voice(self, frames: NDArray[np.float32]) -> Voice:
        """Embed the voice in the (T, M) features of a recording."""
        return self._encoder.voice(frames)

    def identify(
        self,
        recording: Recording,
        sample_rate: int | None = None,
        false_accepts: float = FALSE_ACCEPTS,
        top: int = 5,
    ) -> Answer:
        """Identify the speaker of a recording, known or not.

        Args:
            recording, sample_rate: see `listen`.
            false_accepts: share of strangers who may be given a name.
            top: length of the ranking.
        """
        try:
            voice = self.listen(recording, sample_rate)
        except Unheard as unheard:
            return unheard.answer()
        return self.answer(voice, false_accepts, top)

    def identify_many(
        self, recordings: Iterable[StrPath], false_accepts: float = FALSE_ACCEPTS, top: int = 5
    ) -> Generator[Answer, None, None]:
        """`identify` for many files, on all cores.

        Args:
            recordings: paths.
            false_accepts, top: see `identify`.

        Yields:
            An answer for each, in the same order.
        """
        paths = [recordings] if isinstance(recordings, str | os.PathLike) else recordings
        yield from answers_of_files(self.bundle, self._encoder, paths, false_accepts, top)

    def answer(self, voice: Voice, false_accepts: float = FALSE_ACCEPTS, top: int = 5) -> Answer:
        """Identify the speaker of a voice; arguments as for `identify`.

        Raises:
            UserError: the voice was embedded by another encoder than the bundle's.
        """
        return answer(self.bundle, voice, false_accepts, top)

    def live(self, false_accepts: float | None = None) -> LiveTimeline:
        """Who speaks in a stream, while it arrives; see `speakerid.recognition.live.LiveTimeline`."""
        return LiveTimeline(self.bundle, self._encoder, false_accepts)

    def verify(
        self,
        first: Recording,
        second: Recording,
        sample_rate: int | None = None,
        false_accepts: float = FALSE_ACCEPTS,
    ) -> Verdict:
        """Decide whether two recordings are of one speaker, known or not.

        Args:
            first, second, sample_rate: see `listen`.
            false_accepts: share of pairs of two speakers that may be taken for one.

        Raises:
            Unheard: a recording is broken, silent or too short.
            UserError: the bundle was fitted on too few recordings to decide.
        """
        verification_rule(self.bundle)
        one = self._listen_to_side("first", first, sample_rate)
        other = self._listen_to_side("second", second, sample_rate)
        return verdict(self.bundle, one, other, false_accepts)

    def _listen_to_side(self, side: str, recording: Recording, sample_rate: int | None) -> Voice:
        try:
            return self.listen(recording, sample_rate)
        except Unheard as unheard:
            label = path_of(recording) or f"the {side} recording"
            raise Unheard(unheard.said, f"{label}: {unheard.said}: {unheard}", unheard.seconds) from unheard

    def enroll(
        self, name: str, recordings: Iterable[Recording] | Recording, sample_rate: int | None = None, add: bool = False
    ) -> Enrollment:
        """Enroll a speaker, or add recordings of one, in the bundle's file too.

        Args:
            name: name of the speaker; a new one, unless `add`.
            recordings: see `listen`; one is enough, three of different sessions are better.
            sample_rate: sample rate of samples, in Hz.
            add: add the recordings to an existing speaker, trained or enrolled. A recording that was added before does
                not count again.

        Returns:
            Which recordings count, which do not, and doubts.

        Raises:
            UserError: none of the recordings can be used, the name is taken or reserved, or does not exist with `add`.
        """
        some = several(recordings)
        self._check_name(name, add)
        # Try again only if another training was exported over the bundle while the recordings were read.
        for last in (False, True):
            voices, passed = self._voices_in(some, sample_rate)
            if not voices:
                raise UserError(f"{name}: not enrolled: {'; '.join(passed) or 'no recordings'}")
            try:
                enrollment = self.learn(name, voices, add)
                return replace(enrollment, skipped=(*passed, *enrollment.skipped))
            except OtherEncoder:
                if last:
                    raise
        raise AssertionError("unreachable")

    def _voices_in(self, recordings: Sequence[Recording], sample_rate: int | None) -> tuple[list[Voice], list[str]]:
        voices, passed = [], []
        for number, recording in enumerate(recordings, 1):
            try:
                voices.append(self.listen(recording, sample_rate))
            except Unheard as unheard:
                passed.append(f"{path_of(recording) or f'recording {number}'}: {unheard.said}: {unheard}")
        return voices, passed

    def learn(self, name: str, voices: Sequence[Voice], add: bool = False) -> Enrollment:
        """`enroll` with voices instead of recordings.

        Raises:
            OtherEncoder: a voice was embedded by another encoder, for example before an export of another training.
            UserError: see `Bundle.enrolled`.
        """
        return self._changed(lambda bundle: enroll(bundle, name, voices, add))

    def forget(self, name: str) -> None:
        """Delete every voice print of a speaker, in the bundle's file too; errors as for `Bundle.forgotten`."""
        self._change(lambda bundle: bundle.forgotten(name))

    def rename(self, old: str, new: str) -> None:
        """Rename a speaker, in the bundle's file too; errors as for `Profiles.renamed`."""
        self._change(lambda bundle: bundle.renamed(old, new))
