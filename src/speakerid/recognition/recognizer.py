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
from threadpoolctl import ThreadpoolController

from speakerid.audio.decode import decode
from speakerid.audio.log_mel import LogMel, Samples
from speakerid.corpus.parallel import processors
from speakerid.corpus.store import FrameStore
from speakerid.errors import UserError
from speakerid.evaluation.predict import CPU_FRAMES
from speakerid.models.summary import unique_parameters
from speakerid.recognition.answers import Answer, Said, Unheard, Verdict, Voice
from speakerid.recognition.bundle import Bundle, changing

SHORTEST = 0.5
"""Seconds of sound, pauses cut, below which nobody is named."""
SILENT = 1e-4
"""Highest sample, as a share of full scale, of a recording in which nobody can be heard: −80 dB."""
FALSE_ACCEPTS = 0.01
"""Share of strangers who may be given a name, unless another is asked for."""
MAX_SECONDS = 1200.0
"""Of one recording; longer ones are for a timeline."""
TOGETHER = 8
"""Files that are embedded together, neighbours in length side by side."""
WORTH_THREADS = 1e9
"""Parameters times frames embedded at a time, below which there is one thread: several would mostly wait for one
another, and on a machine that has other work as well nearly always."""

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
        self._embedder = bundle.embedder()
        self._parameters = unique_parameters(self._embedder)
        self._threads = ThreadpoolController()
        self._log_mel: LogMel | None = None

    @staticmethod
    def load(path: str | Path) -> Recognizer:
        """Read a bundle.

        Raises:
            UserError: see `Bundle.load`.
        """
        return Recognizer(Bundle.load(Path(path)), Path(path))

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
        frames = self._frames(recording, sample_rate)
        return Voice(len(frames) / self.bundle.features.frames_per_second, self.embed([frames])[0])

    def embed(self, frames: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """(T, M) features of B recordings to (B, D) voice prints, the same whatever else is among them."""
        lengths = np.array([len(some) for some in frames])
        store = FrameStore(np.concatenate(frames), np.cumsum(lengths) - lengths, lengths)
        at_a_time = max(int(lengths.max()), min(len(store.frames), CPU_FRAMES))
        with self._threads.limit(limits=1 if at_a_time * self._parameters < WORTH_THREADS else None):
            return self._embedder.embed(store, range(len(store)))

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
        with self._threads.limit(limits=1, user_api="blas"), ThreadPoolExecutor(workers) as pool:
            try:
                for answers in _ahead(pool, lambda some: self._answers(some, false_accepts, top), groups, 2 * workers):
                    yield from answers
            finally:
                pool.shutdown(cancel_futures=True)

    def _answers(self, recordings: Sequence[Path], false_accepts: float, top: int) -> list[Answer]:
        """Of files that are embedded together, in one thread."""
        with self._threads.limit(limits=1, user_api="openmp"):
            heard = [self._heard(recording) for recording in recordings]
            frames = [one for one in heard if not isinstance(one, Unheard)]
            prints = iter(self.embed(frames) if frames else ())
            rate = self.bundle.features.frames_per_second
            return [
                one.answer()
                if isinstance(one, Unheard)
                else self.answer(Voice(len(one) / rate, next(prints)), false_accepts, top)
                for one in heard
            ]

    def answer(self, voice: Voice, false_accepts: float = FALSE_ACCEPTS, top: int = 5) -> Answer:
        """Whose voice it is; arguments as for `identify`."""
        places, scores = self.bundle.profiles.ranked(voice.voice_print[None])
        rule = self.bundle.identification
        odds = rule.log_odds(scores, voice.seconds)[0]
        threshold = rule.thresholds.at(voice.seconds, false_accepts)
        names = [self.speakers[place] for place in places[0, :top].tolist()]
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
        voices, passed = [], []
        for recording in recordings:
            try:
                voices.append(self.listen(recording))
            except Unheard as unheard:
                passed.append(f"{recording}: {unheard.said}: {unheard}")
        if not voices:
            raise UserError(f"{name}: nobody was enrolled: {'; '.join(passed) or 'no recordings'}")
        self.learn(name, voices)
        return passed

    def learn(self, name: str, voices: Sequence[Voice]) -> None:
        """The same from what is left of one or more recordings; errors as for `Bundle.enrolled`."""
        prints = np.stack([voice.voice_print for voice in voices])
        self._change(lambda bundle: bundle.enrolled(name, prints))

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
        with changing(self.path) as held:
            self.bundle = held[0] = change(held[0])

    def _heard(self, recording: Path) -> NDArray[np.float32] | Unheard:
        try:
            return self._frames(recording, None)
        except Unheard as unheard:
            return unheard

    def _frames(self, recording: Path | Samples, sample_rate: int | None) -> NDArray[np.float32]:
        """(T, M) features, or why there are none."""
        if self._log_mel is None:
            self._log_mel = LogMel(self.bundle.features)
        seconds = float("nan")
        try:
            if isinstance(recording, Path):
                sound = decode(recording, max_seconds=MAX_SECONDS)
                recording, sample_rate = sound.waveform, sound.sample_rate
            assert sample_rate is not None, "samples without a rate"
            seconds = recording.shape[-1] / sample_rate
            if not np.any(np.abs(recording) > SILENT):
                raise Unheard("silent", f"{seconds:.2f} s of silence", 0.0)
            frames = self._log_mel(recording, sample_rate)
        except Unheard:
            raise
        except UserError as error:
            said: Said = "too short" if seconds < SHORTEST else "broken"
            raise Unheard(said, str(error), seconds) from error
        heard = len(frames) / self.bundle.features.frames_per_second
        if heard < SHORTEST:
            raise Unheard("too short", f"{heard:.2f} s of sound, expected {SHORTEST:g} at least", heard)
        return frames


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
