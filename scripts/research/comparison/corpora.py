"""Make the corpora that models are compared on, by the package's own preparation.

A table assigns each recording to training, validation or test by giving it a session named in `PARTS`; a split by
sessions then gives every contestant the same parts.
"""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile

from derived import voices, write_table
from speakerid import PrepareOptions, decode, prepare
from speakerid.audio.resample import resample
from speakerid.audio.speed import at_speed
from speakerid.base.files import atomic_folder
from speakerid.base.parallel import parallel_map
from speakerid.corpus.split import split
from speakerid.corpus.utterances import STAGE, Utterance, Utterances
from speakerid.demo.corpus import SESSIONS
from speakerid.preparation.sources.layouts import scan
from speakerid.preparation.sources.recordings import Recording

from .equalize import equalize_corpus

PARTS = ("1 training", "2 validation", "3 test")
"""Sessions of the tables, in this order."""
LAST_SESSION = 0.01
"""Fraction so small that a split by sessions holds out only a speaker's last one."""
SPEEDS = tuple(round(0.82 + 0.4 * step / 12, 4) for step in range(13))
SAMPLE_RATE = 16_000


@dataclass(frozen=True)
class CorpusSpec:
    """One corpus of the comparison.

    Attributes:
        name: name of its folder and its rows.
        source: the recordings; the same at 13 speeds each, counted as 13 speakers; or the demonstration voices.
        seconds: default duration of training on one core.
        steps: default number of training steps in the second table; about what Task 2 takes in these seconds.
        equalize: standardize every band over all frames of a speaker, see `comparison.equalize`.
        utterances: number of training recordings used per speaker, from the first; by default all.
        validation: number of validation recordings used per speaker; by default all.
        speakers: number of demonstration voices.
    """

    name: str
    source: Literal["recordings", "speeds", "demo"]
    seconds: float
    steps: int
    equalize: bool = False
    utterances: int | None = None
    validation: int | None = None
    speakers: int = 0

    @property
    def fractions(self) -> tuple[float, float]:
        """Fraction of a speaker's recordings that is the test set, and of the rest that is the validation set."""
        match self.source:
            case "recordings":
                return 0.3, 0.1 / 0.7
            case "speeds":  # there are 13 times as many, so fewer are enough to test on
                return 0.12, 0.05
            case "demo":
                return 1 / SESSIONS, 1 / (SESSIONS - 1)


_RAW = (
    CorpusSpec("voices-all", "recordings", 45, 120),
    CorpusSpec("voices-20", "recordings", 25, 60, utterances=20),
    CorpusSpec("voices-5", "recordings", 15, 40, utterances=5),
    CorpusSpec("speeds", "speeds", 90, 240),
)
SPECS = (
    *_RAW,
    *(replace(spec, name=f"{spec.name}-equalized", equalize=True) for spec in _RAW),
    CorpusSpec("demo-40", "demo", 30, 80, speakers=40),
    CorpusSpec("demo-200", "demo", 90, 240, validation=2, speakers=200),
    CorpusSpec("demo-600", "demo", 150, 400, validation=1, speakers=600),
)
CORPORA = {spec.name: spec for spec in SPECS}


def build(specs: Sequence[CorpusSpec], recordings: Path, out: Path, workers: int | None = None) -> None:
    """Write the corpora that are not in `out` yet.

    Args:
        specs: corpora to write.
        recordings: folder in a layout that `prepare` knows.
        out: folder of everything; corpora are in `root_of(spec, out)`.
        workers: number of processes; by default one per core.

    Raises:
        UserError: the recordings cannot be prepared.
    """
    for spec in specs:
        root = root_of(spec, out)
        if root.exists() and not (root / STAGE).exists():  # the stage is removed last
            continue
        speakers = max(other.speakers for other in specs)
        table = out / "tables" / f"{spec.name}.csv"
        write_table(table, placed(_recordings(spec, recordings, out / "sources", speakers, workers), spec))
        raw = out / "sources" / spec.name if spec.equalize else root
        options = PrepareOptions(
            layout="table",
            layout_out="packed",
            dtype="float32" if spec.equalize else "float16",
            test_fraction=LAST_SESSION,
            split="session",
            workers=workers,
        )
        prepared = prepare(table, raw, options)
        for line in prepared.skipped:
            print(f"left out of {spec.name}: {line}")
        if spec.equalize:
            equalize_corpus(raw, root)
        shutil.rmtree(raw if spec.equalize else root / STAGE)


def root_of(spec: CorpusSpec, out: Path) -> Path:
    return out / "corpora" / spec.name


def placed(recordings: Iterable[Recording], spec: CorpusSpec) -> Iterator[Recording]:
    """Assign the recordings of a corpus to parts, each part as a session.

    Args:
        recordings: recordings in the order of speakers.
        spec: the corpus. Parts are whole sessions if those are known, else the last recordings.
    """
    for_test, for_validation = spec.fractions
    everything = list(recordings)
    labelled, test = _parted(everything, for_test)
    training, validation = _parted(labelled, for_validation)
    yield from _in_session(_first(training, spec.utterances), PARTS[0])
    yield from _in_session(_first(validation, spec.validation), PARTS[1])
    yield from _in_session(test, PARTS[2])


def _first(recordings: Iterable[Recording], count: int | None) -> Iterator[Recording]:
    """Yield the first `count` recordings of each speaker."""
    for _, of_speaker in groupby(recordings, key=lambda recording: recording.speaker):
        yield from list(of_speaker)[:count]


def _parted(recordings: Sequence[Recording], fraction: float) -> tuple[list[Recording], list[Recording]]:
    """Split into the rest and the fraction of each speaker's recordings that is held out."""
    rows = Utterances.of(Utterance(one.name, 0, one.speaker, one.session) for one in recordings)
    parts = split(rows, "auto", fraction, seed=0)
    return [recordings[row] for row in parts.train], [recordings[row] for row in parts.valid]


def _in_session(recordings: Iterable[Recording], session: str) -> Iterator[Recording]:
    return (replace(recording, session=session) for recording in recordings)


def _recordings(
    spec: CorpusSpec, recordings: Path, sources: Path, speakers: int, workers: int | None
) -> list[Recording]:
    """Recordings of a corpus before they are assigned to parts; derived recordings are kept in `sources`."""
    if spec.source == "recordings":
        return scan(recordings).recordings
    if spec.source == "speeds":
        if not (sources / "speeds").exists():
            _write_speeds(scan(recordings).recordings, sources / "speeds", workers)
        return scan(sources / "speeds").recordings
    found = scan(voices(sources / f"demo-{speakers}", speakers, workers)).recordings
    chosen = set(list(dict.fromkeys(one.speaker for one in found))[: spec.speakers])
    return [one for one in found if one.speaker in chosen]


def _write_speeds(recordings: Sequence[Recording], folder: Path, workers: int | None) -> None:
    """Write every recording at every speed, with a folder for each pair of speaker and speed."""
    with atomic_folder(folder) as unfinished:
        numbered = list(enumerate(recordings))
        for _ in parallel_map(partial(_write_at_speeds, folder=unfinished), numbered, "Speeds", "recordings", workers):
            pass


def _write_at_speeds(numbered: tuple[int, Recording], folder: Path) -> None:
    """Write a recording at all speeds, low-passed at the same frequency, since a slower copy ends at a lower one."""
    number, recording = numbered
    sound = decode(recording.path, recording.start, recording.end)
    waveform = resample(sound.waveform, sound.sample_rate, SAMPLE_RATE)
    for speed in SPEEDS:
        narrow = round(SPEEDS[0] * SAMPLE_RATE)
        changed = resample(resample(at_speed(waveform, speed), SAMPLE_RATE, narrow), narrow, SAMPLE_RATE)
        path = folder / f"{recording.speaker} at {speed}" / f"{number:06d}.flac"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, changed / max(1.0, float(np.abs(changed).max())), SAMPLE_RATE)
