"""Measure the speed of `prepare`, compared with decoding alone and with a plain loop, and its memory."""

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import soundfile
import torch

from result_tables import markdown
from speakerid import PrepareOptions, prepare

from .measuring import SPAWN, Run, middle, run_alone, run_in_turn
from .recordings import FEATURES, FORMATS, Source, write_sources

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
START_SECONDS = 300
"""Time limit for the decoding processes to start."""
DECODING = [f"decoding × {count}" for count in sorted({1, CORES})]
PREPARE = [f"prepare × {count}" for count in sorted({1, 2, CORES})]
PLAIN_LOOP = "plain loop"
START_UP = "start-up"

Name = tuple[str, str]
"""File extension, and name of the run."""


def benchmark(recordings: Path, seconds: int, rounds: int) -> str:
    """Run the benchmark; returns tables in Markdown.

    Args:
        recordings: folder in one of `speakerid.preparation.sources.layouts.LAYOUTS`.
        seconds: least total duration of the audio.
        rounds: number of rounds.

    Raises:
        UserError: see `write_sources`.
    """
    with TemporaryDirectory(prefix="benchmark-") as folder:
        sources = write_sources(recordings, Path(folder), seconds)
        quarters = {
            ending: run_alone(partial(run_prepare, sources[ending, "quarter"].path, CORES)) for ending in FORMATS
        }
        runs = run_in_turn(_functions(sources), rounds)
    measured = Measured(sources, quarters, runs)
    whole = sources["flac", "whole"]
    heading = (
        f"{whole.seconds / 3600:.2f} h of audio in {whole.files:,} files, 16 kHz mono; rounds: {rounds}, figures are "
        f"medians; × N: N processes. {CORES} cores, {platform.machine()}, Python {platform.python_version()}, "
        f"torch {torch.__version__} (plain loop: {torch.get_num_threads()} threads)."
    )
    return "\n\n".join(
        [*_doubt(measured), heading, _speeds(measured), _ratios(measured), _start_up(measured), _memory(measured)]
    )


def run_decoding(folder: Path, processes: int) -> float:
    """Seconds to decode every file, in processes that have started already."""
    files = _files(folder)
    barrier = SPAWN.Barrier(processes + 1)
    with SPAWN.Pool(processes, _wait, (barrier,)) as pool:
        barrier.wait(START_SECONDS)
        start = time.perf_counter()
        for _ in pool.imap_unordered(_decode, files, chunksize=1 + len(files) // (32 * processes)):
            pass
        return time.perf_counter() - start


def _wait(barrier: Barrier) -> None:
    barrier.wait()


def _decode(path: Path) -> int:
    samples, _ = soundfile.read(path, dtype="float32")
    return len(samples)


def run_plain_loop(folder: Path) -> float:
    """Seconds of a plain loop: read a file, compute its log-mel, write a file."""
    from torchaudio.transforms import MelSpectrogram

    log_mel = MelSpectrogram(
        FEATURES.sample_rate,
        n_fft=FEATURES.window_length,
        hop_length=FEATURES.hop_length,
        f_min=FEATURES.f_min,
        n_mels=FEATURES.n_mels,
    )
    files = _files(folder)
    with TemporaryDirectory(dir=folder.parent) as out:
        start = time.perf_counter()
        for index, path in enumerate(files):
            samples, _ = soundfile.read(path, dtype="float32")
            frames = log_mel(torch.from_numpy(samples)).clamp(min=FEATURES.floor).log().T
            torch.save(frames, f"{out}/{index}.pt")
        return time.perf_counter() - start


def run_prepare(folder: Path, workers: int) -> float:
    """Seconds from recordings to a packed corpus and its report."""
    options = PrepareOptions(layout="folders", layout_out="packed", workers=workers, strict=True)
    with TemporaryDirectory(dir=folder.parent) as out:
        start = time.perf_counter()
        prepare(folder, Path(out) / "corpus", options)
        return time.perf_counter() - start


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _functions(sources: Mapping[tuple[str, str], Source]) -> dict[Name, Callable[[], float]]:
    functions: dict[Name, Callable[[], float]] = {}
    for ending in FORMATS:
        whole = sources[ending, "whole"].path
        functions[ending, PLAIN_LOOP] = partial(run_plain_loop, whole)
        functions[ending, START_UP] = partial(run_prepare, sources[ending, START_UP].path, CORES)
        for what in PREPARE:
            functions[ending, what] = partial(run_prepare, whole, _count(what))
        for what in reversed(DECODING):  # all cores next to all cores, so that compared runs meet the same conditions
            functions[ending, what] = partial(run_decoding, whole, _count(what))
    return functions


def _count(what: str) -> int:
    return int(what.rpartition(" ")[2])


@dataclass(frozen=True)
class Measured:
    """Measurements."""

    sources: Mapping[tuple[str, str], Source]
    """Sources by file extension and size."""
    quarters: Mapping[str, Run]
    """Run of `prepare` on all cores with a quarter of the audio, by file extension."""
    runs: Mapping[Name, Sequence[Run]]
    """Runs of each round."""

    def speeds(self, ending: str, what: str, started: bool) -> list[float]:
        """Hours of audio per minute in each round.

        Args:
            ending: extension of the files.
            what: one of DECODING or PREPARE, or PLAIN_LOOP.
            started: subtract the first recordings and their time in the same round, which applies to PREPARE only.
        """
        whole, start = self.sources[ending, "whole"], self.sources[ending, START_UP]
        runs, starts = self.runs[ending, what], self.runs[ending, START_UP]
        if not started or what not in PREPARE:
            return [whole.seconds / 60 / run.seconds for run in runs]
        audio = whole.seconds - start.seconds
        return [audio / 60 / (run.seconds - first.seconds) for run, first in zip(runs, starts, strict=True)]


_COLUMNS = [(ending, started) for started in (False, True) for ending in FORMATS]
_TITLES = [f"{ending}, once started" if started else ending for ending, started in _COLUMNS]


def _doubt(measured: Measured) -> list[str]:
    """Warning if there is too little audio."""
    starts, runs = (
        [run.seconds for ending in FORMATS for run in measured.runs[ending, what]] for what in (START_UP, PREPARE[-1])
    )
    share = median(starts) / median(runs)
    if share < 0.2:
        return []
    return [f"Start-up is {share:.0%} of {PREPARE[-1]}: the figures are unreliable; use more --seconds."]


def _speeds(measured: Measured) -> str:
    rows = [
        [what, *(f"{median(measured.speeds(ending, what, started)):.2f}" for ending, started in _COLUMNS)]
        for what in (*DECODING, PLAIN_LOOP, *PREPARE)
    ]
    return markdown(["hours of audio per minute", *_TITLES], rows)


def _ratios(measured: Measured) -> str:
    pairs = [
        (PREPARE[-1], DECODING[-1]),
        ("prepare × 2", "prepare × 1"),
        (PREPARE[-1], PLAIN_LOOP),
        ("prepare × 1", PLAIN_LOOP),
    ]
    rows = [
        [f"{one} / {other}", *(_ratio(measured, one, other, *column) for column in _COLUMNS)] for one, other in pairs
    ]
    return markdown(["ratio of speeds in a round: median (lowest to highest)", *_TITLES], rows)


def _ratio(measured: Measured, one: str, other: str, ending: str, started: bool) -> str:
    both = zip(measured.speeds(ending, one, started), measured.speeds(ending, other, started), strict=True)
    return middle([first / second for first, second in both])


def _start_up(measured: Measured) -> str:
    seconds = [median(run.seconds for run in measured.runs[ending, START_UP]) for ending in FORMATS]
    rows = [[f"{measured.sources['flac', START_UP].files} recordings", *(f"{value:.2f}" for value in seconds)]]
    return markdown(["seconds of prepare", *FORMATS], rows)


def _memory(measured: Measured) -> str:
    rows: list[list[str]] = []
    for ending in FORMATS:
        runs = {"quarter": [measured.quarters[ending]], "whole": measured.runs[ending, PREPARE[-1]]}
        for size, of_size in runs.items():
            own, worker = max(run.own_memory for run in of_size), max(run.worker_memory for run in of_size)
            hours = measured.sources[ending, size].seconds / 3600
            rows.append([f"{ending}, {hours:.2f} h", f"{own:.0f}", f"{worker:.0f}"])
    return markdown([f"peak resident memory in MiB, {PREPARE[-1]}", "parent", "largest worker"], rows)
