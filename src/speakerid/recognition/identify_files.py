"""Identify the speakers of many files, on all cores."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from speakerid.base.errors import UserError
from speakerid.base.memory import keep_freed_memory
from speakerid.base.parallel import processors
from speakerid.recognition.bundle import Bundle
from speakerid.recognition.identification import answers
from speakerid.recognition.results import Answer, Unheard
from speakerid.recognition.voice_encoder import VoiceEncoder, sound_of
from speakerid.recognition.waveforms import path_of

TOGETHER = 16
"""Number of files embedded together; they are batched by length."""

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")


def answers_of_files(
    bundle: Bundle, encoder: VoiceEncoder, files: Iterable[str | os.PathLike[str]], false_accepts: float, top: int
) -> Generator[Answer, None, None]:
    """Identify the speakers of files; see `Recognizer.identify_many`.

    Args:
        bundle: the bundle.
        encoder: encoder of the bundle.
        files: paths.
        false_accepts, top: see `Recognizer.identify`.
    """
    waiting, workers = map(_file, files), processors()
    groups = iter(lambda: list(islice(waiting, TOGETHER)), [])

    def work(some: Sequence[Path]) -> list[Answer]:
        return _answers(bundle, encoder, some, false_accepts, top)

    keep_freed_memory()
    _ = encoder.network  # built once, not in each thread
    # BLAS has one number of threads for the whole process, so it must not change while other workers run.
    with encoder.threads.limit(limits=1, user_api="blas"), ThreadPoolExecutor(workers) as pool:
        try:
            for some in _ahead(pool, work, groups, 2 * workers):
                yield from some
        finally:
            pool.shutdown(cancel_futures=True)


def _answers(
    bundle: Bundle, encoder: VoiceEncoder, files: Sequence[Path], false_accepts: float, top: int
) -> list[Answer]:
    """Answers for files that are embedded together, in one thread."""
    with encoder.threads.limit(limits=1, user_api="openmp"):
        loaded = [_frames_of(encoder, path) for path in files]
        frames = [one for one in loaded if not isinstance(one, Unheard)]
        prints = encoder.embed(frames) if frames else []
        voices = [encoder.voice(*one) for one in zip(frames, prints, strict=True)]
        named = iter(answers(bundle, voices, false_accepts, top))
        return [one.answer() if isinstance(one, Unheard) else next(named) for one in loaded]


def _frames_of(encoder: VoiceEncoder, path: Path) -> NDArray[np.float32] | Unheard:
    try:
        return encoder.frames(*sound_of(path, target=encoder.sample_rate))
    except Unheard as unheard:
        return unheard


def _file(recording: object) -> Path:
    path = path_of(recording)
    if path is None:
        raise UserError(f"identify_many: found {type(recording).__name__}, expected paths; `identify` takes samples")
    return path


def _ahead(
    pool: ThreadPoolExecutor, function: Callable[[_Job], _Result], jobs: Iterable[_Job], count: int
) -> Iterator[_Result]:
    """`map(function, jobs)` in the threads of a pool, computed up to `count` jobs ahead."""
    waiting = iter(jobs)
    running = deque(pool.submit(function, job) for job in islice(waiting, count))
    while running:
        yield running.popleft().result()
        running.extend(pool.submit(function, job) for job in islice(waiting, 1))
