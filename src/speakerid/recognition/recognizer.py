"""Who is speaking: recordings in, names or `unknown` out.

Letters: N samples, B recordings, T frames, M mel bands, D width of a voice print.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from speakerid.audio.log_mel import Samples
from speakerid.corpus.parallel import processors
from speakerid.errors import UserError
from speakerid.recognition.answers import Answer, OtherEncoder, Unheard, Verdict, Voice
from speakerid.recognition.bundle import Bundle, FileVersion, locked, version_of
from speakerid.recognition.voices import VoiceEncoder

FALSE_ACCEPTS = 0.01
"""Share of strangers who may be given a name, unless another is asked for."""
TOGETHER = 8
"""Files that are embedded together, neighbours in length side by side."""

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")


class Recognizer:
    """Names speakers, and learns new ones without training.

    Args:
        bundle: what it knows.
        path: where the bundle lies, if `enroll`, `forget` and `rename` are to change it there.
    """

    def __init__(self, bundle: Bundle, path: Path | None = None) -> None:
        self.bundle = bundle
        self.path = path
        self._encoder = VoiceEncoder(bundle)
        self._version: FileVersion | None = None

    @staticmethod
    def load(path: str | Path) -> Recognizer:
        """Read a bundle.

        Raises:
            UserError: see `Bundle.load`.
        """
        version = version_of(Path(path))  # before it is read, so that no change is missed
        recognizer = Recognizer(Bundle.load(Path(path)), Path(path))
        recognizer._version = version
        return recognizer

    def reload_if_changed(self) -> bool:
        """Read the bundle's file again if another program has changed or replaced it since.

        One `stat` if nothing has changed. Voices of the former bundle are refused afterwards if its encoder was
        another one.

        Returns:
            Whether the file was read.

        Raises:
            UserError: see `Bundle.load`; the former content stays in use.
        """
        if self.path is None:
            return False
        version = version_of(self.path)
        if version is not None and version == self._version:
            return False
        self._use(Bundle.load(self.path), version)
        return True

    def _use(self, bundle: Bundle, version: FileVersion | None) -> None:
        if bundle.encoder != self._encoder.fingerprint:
            self._encoder = VoiceEncoder(bundle)
        self.bundle, self._version = bundle, version

    @property
    def speakers(self) -> tuple[str, ...]:
        """Whom it knows."""
        return self.bundle.profiles.names

    def listen(self, recording: Path | Samples, sample_rate: int | None = None) -> Voice:
        """The voice in a recording.

        Args:
            recording: a file, or (N,) or (channels, N) samples in [-1, 1].
            sample_rate: of the samples, in Hz.

        Raises:
            Unheard: it is broken, silent or too short.
        """
        return self._encoder.listen(recording, sample_rate)

    def embed(self, frames: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """(T, M) features of B recordings to (B, D) voice prints, the same whatever else is among them."""
        return self._encoder.embed(frames)

    def voice(self, frames: NDArray[np.float32]) -> Voice:
        """The voice in the (T, M) features of a recording."""
        encoder = self._encoder
        return encoder.voice(frames, encoder.embed([frames])[0])

    def identify(
        self,
        recording: Path | Samples,
        sample_rate: int | None = None,
        false_accepts: float = FALSE_ACCEPTS,
        top: int = 5,
    ) -> Answer:
        """Who speaks in a recording, or that it is somebody else.

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
        self, recordings: Iterable[Path], false_accepts: float = FALSE_ACCEPTS, top: int = 5
    ) -> Generator[Answer, None, None]:
        """`identify` of many files, on all cores.

        Args:
            recordings: files.
            false_accepts, top: see `identify`.

        Yields:
            An answer for each, in their order.
        """
        waiting, workers = iter(recordings), processors()
        groups = iter(lambda: list(islice(waiting, TOGETHER)), [])
        # BLAS has one number of threads for the whole process, which is not to change while others are at work.
        with self._encoder.threads.limit(limits=1, user_api="blas"), ThreadPoolExecutor(workers) as pool:
            try:
                for answers in _ahead(pool, lambda some: self._answers(some, false_accepts, top), groups, 2 * workers):
                    yield from answers
            finally:
                pool.shutdown(cancel_futures=True)

    def _answers(self, recordings: Sequence[Path], false_accepts: float, top: int) -> list[Answer]:
        """Of files that are embedded together, in one thread."""
        encoder = self._encoder
        with encoder.threads.limit(limits=1, user_api="openmp"):
            heard = [_frames_of(encoder, recording) for recording in recordings]
            frames = [one for one in heard if not isinstance(one, Unheard)]
            prints = iter(encoder.embed(frames) if frames else ())
            return [
                one.answer()
                if isinstance(one, Unheard)
                else self.answer(encoder.voice(one, next(prints)), false_accepts, top)
                for one in heard
            ]

    def answer(self, voice: Voice, false_accepts: float = FALSE_ACCEPTS, top: int = 5) -> Answer:
        """Whose voice it is; arguments as for `identify`.

        Raises:
            UserError: the voice is of another encoder than the bundle's.
        """
        bundle = self.bundle
        _check_encoder(bundle, [voice])
        places, scores = bundle.profiles.ranked(voice.voice_print[None])
        rule = bundle.identification
        odds = rule.log_odds(scores, voice.seconds)[0]
        threshold = rule.thresholds.at(voice.seconds, false_accepts)
        names = [bundle.profiles.names[place] for place in places[0, :top].tolist()]
        probabilities = _probability(odds)
        known = bool(odds[0] >= threshold)
        return Answer(
            "known" if known else "unknown",
            names[0] if known else None,
            float(probabilities[0] if known else max(0.0, 1 - probabilities.sum())),
            tuple(zip(names, probabilities[:top].tolist(), strict=True)),
            voice.seconds,
            float(_probability(np.array(threshold))),
        )

    def verify(self, first: Path | Samples, second: Path | Samples, false_accepts: float = FALSE_ACCEPTS,
               sample_rate: int | None = None) -> Verdict:  # fmt: skip
        """Whether two recordings are of one speaker, known or not.

        Args:
            first, second, sample_rate: see `listen`.
            false_accepts: share of pairs of two speakers that may be called one.

        Raises:
            Unheard: one of them is broken, silent or too short.
            UserError: the bundle was fitted on too little to tell.
        """
        rule = self.bundle.verification
        if rule is None:
            raise UserError(
                "verify: no two recordings of one speaker were left to fit a threshold on; train with a larger "
                "data.valid_fraction, or prepare with --strangers, and export again"
            )
        one, other = self.listen(first, sample_rate), self.listen(second, sample_rate)
        seconds = min(one.seconds, other.seconds)
        score = float(self.bundle.profiles.plda.of_pairs(one.voice_print, other.voice_print))
        odds = rule.log_odds(np.array([[score]]), seconds)[0, 0]
        threshold = rule.thresholds.at(seconds, false_accepts)
        probability, least = _probability(np.array([odds, threshold])).tolist()
        return Verdict(bool(odds >= threshold), score, probability, least, seconds)

    def enroll(self, name: str, recordings: Sequence[Path]) -> list[str]:
        """Learn a speaker, in the bundle's file as well.

        Returns:
            A line for each recording that nobody could be heard in; the speaker is learnt from the others.

        Raises:
            UserError: none of the recordings is of use, or the name is taken, or is none.
        """
        # A second attempt only if another training was exported over the bundle while the recordings were listened to.
        for last in (False, True):
            voices, passed = self._voices_in(recordings)
            if not voices:
                raise UserError(f"{name}: nobody was enrolled: {'; '.join(passed) or 'no recordings'}")
            try:
                self.learn(name, voices)
                break
            except OtherEncoder:
                if last:
                    raise
        return passed

    def _voices_in(self, recordings: Sequence[Path]) -> tuple[list[Voice], list[str]]:
        voices, passed = [], []
        for recording in recordings:
            try:
                voices.append(self.listen(recording))
            except Unheard as unheard:
                passed.append(f"{recording}: {unheard.said}: {unheard}")
        return voices, passed

    def learn(self, name: str, voices: Sequence[Voice]) -> None:
        """The same from what is left of one or more recordings.

        Raises:
            OtherEncoder: a voice is of another encoder than the bundle's, as after an export of another training.
            UserError: see `Bundle.enrolled`.
        """
        prints = np.stack([voice.voice_print for voice in voices])

        def enrolled(bundle: Bundle) -> Bundle:
            _check_encoder(bundle, voices)
            return bundle.enrolled(name, prints)

        self._change(enrolled)

    def forget(self, name: str) -> None:
        """Delete every voice print of a speaker, in the bundle's file as well; errors as for `Bundle.forgotten`."""
        self._change(lambda bundle: bundle.forgotten(name))

    def rename(self, old: str, new: str) -> None:
        """Give a speaker another name, in the bundle's file as well; errors as for `Profiles.renamed`."""
        self._change(lambda bundle: bundle.renamed(old, new))

    def _change(self, change: Callable[[Bundle], Bundle]) -> None:
        if self.path is None:
            self.bundle = change(self.bundle)
            return
        with locked(self.path):
            version = version_of(self.path)
            self._use(Bundle.load(self.path), version)
            bundle = change(self.bundle)
            self._use(bundle, bundle.save(self.path))


def _check_encoder(bundle: Bundle, voices: Sequence[Voice]) -> None:
    if any(voice.encoder != bundle.encoder for voice in voices):
        raise OtherEncoder


def _frames_of(encoder: VoiceEncoder, recording: Path) -> NDArray[np.float32] | Unheard:
    try:
        return encoder.frames(recording, None)
    except Unheard as unheard:
        return unheard


def _ahead(
    pool: ThreadPoolExecutor, function: Callable[[_Job], _Result], jobs: Iterable[_Job], count: int
) -> Iterator[_Result]:
    """`map(function, jobs)` in the threads of a pool, so many jobs ahead of what is asked for, and no more."""
    waiting = iter(jobs)
    running = deque(pool.submit(function, job) for job in islice(waiting, count))
    while running:
        yield running.popleft().result()
        running.extend(pool.submit(function, job) for job in islice(waiting, 1))


def _probability(log_odds: NDArray[np.floating]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-log_odds))
