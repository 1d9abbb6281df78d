"""Timelines of a bundle in use, and what a user makes of them: strangers enrolled, and turns corrected."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from speakerid.recognition.corrections import correct, named, turn_at, undo
from speakerid.recognition.enrollment import Enrollment
from speakerid.recognition.kept_prints import Correction
from speakerid.recognition.open_bundle import OpenBundle
from speakerid.recognition.results import Segment
from speakerid.recognition.stranger_enrollment import enroll_stranger, number_of, speaker_in, stranger_in
from speakerid.recognition.timeline import Speech, segments_of, speech_in, timeline
from speakerid.recognition.waveforms import Recording, several


class Timelines(OpenBundle):
    """The methods of `Recognizer` for recordings with several speakers; arguments are those of `OpenBundle`."""

    def timelines(
        self,
        recordings: Iterable[Recording | Speech],
        sample_rate: int | None = None,
        false_accepts: float | None = None,
    ) -> list[list[Segment]]:
        """`timeline` of each of several recordings, in which a stranger has the same number throughout.

        Args:
            recordings: see `listen`, or what `speech` found in them.
            sample_rate, false_accepts: see `timeline`.
        """
        found = [one if isinstance(one, Speech) else self.speech(one, sample_rate, false_accepts) for one in recordings]
        return segments_of(self.bundle, found, false_accepts)

    def speech(
        self, recording: Recording, sample_rate: int | None = None, false_accepts: float | None = None
    ) -> Speech:
        """Find the voices in a recording, for `timelines`; arguments and errors as for `timeline`."""
        return speech_in(self.bundle, self._encoder, recording, sample_rate, false_accepts)

    def timeline(
        self, recording: Recording, sample_rate: int | None = None, false_accepts: float | None = None
    ) -> list[Segment]:
        """Who speaks when in a recording of any length; see `speakerid.recognition.timeline.timeline`."""
        return timeline(self.bundle, self._encoder, recording, sample_rate, false_accepts)

    def enroll_stranger(
        self,
        name: str,
        recordings: Iterable[Recording] | Recording,
        stranger: int | str,
        sample_rate: int | None = None,
        add: bool = False,
        false_accepts: float | None = None,
    ) -> Enrollment:
        """Enroll a stranger of the timelines of recordings, in the bundle's file too.

        Args:
            name, add: see `enroll`.
            recordings, sample_rate, false_accepts: as for `timelines`, which gives the stranger's number.
            stranger: the number, or a label such as `stranger 1`.

        Raises:
            UserError: there is no such stranger; or as for `enroll`.
        """
        self._check_name(name, add)
        some, number = several(recordings), number_of(stranger)
        found = stranger_in(self.bundle, self._encoder, some, number, sample_rate, false_accepts)
        return self._changed(lambda bundle: enroll_stranger(bundle, name, found, add))

    def enroll_turns(
        self,
        name: str,
        recording: Recording,
        turns: Sequence[tuple[float, float]],
        sample_rate: int | None = None,
        add: bool = False,
    ) -> Enrollment:
        """Enroll the speaker of turns of a recording, in the bundle's file too.

        Args:
            name, add: see `enroll`.
            recording, sample_rate: see `timeline`.
            turns: start and end of each turn in seconds; no one else speaks in them.

        Raises:
            UserError: there is too little sound in the turns; or as for `enroll`.
        """
        self._check_name(name, add)
        found = speaker_in(self.bundle, self._encoder, recording, turns, sample_rate)
        return self._changed(lambda bundle: enroll_stranger(bundle, name, found, add))

    def correct(
        self,
        recording: Recording,
        moment: float,
        name: str,
        sample_rate: int | None = None,
        new: bool = False,
        false_accepts: float | None = None,
    ) -> Correction:
        """Correct the speaker of the turn at a moment, in the bundle's file too; `undo` takes it back.

        The turn's voice print is taken out of other profiles and added to that of the speaker. From then on, timelines
        of the same recording give the turn this name.

        Args:
            recording, sample_rate, false_accepts: see `timeline`.
            moment: seconds from the beginning.
            name: name of the speaker who speaks.
            new: enroll a new speaker of this name.

        Raises:
            UserError: no one speaks at this moment, the name is unknown, or see `speakerid.recognition.corrections`.
        """
        named(self.bundle, name, new)  # before the recording is read, which takes time
        turn = turn_at(self.bundle, self._encoder, recording, moment, sample_rate, false_accepts)
        return self._changed(lambda bundle: correct(bundle, turn, name, new))

    def undo(self) -> Correction:
        """Undo the last correction, in the bundle's file too, and return it.

        Raises:
            UserError: there is none.
        """
        return self._changed(undo)

    def _check_name(self, name: str, add: bool) -> None:
        """Check a name before the recordings are read, which takes time."""
        if add:
            self.bundle.profiles.index(name)
        else:
            self.bundle.profiles.check_new(name)
