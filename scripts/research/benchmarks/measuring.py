"""Measure time and memory of runs, each in a process of its own."""

import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import TypeVar

from speakerid import UserError

SPAWN = multiprocessing.get_context("spawn")
"""A fork would inherit torch's threads in an unknown state, and the parent's memory."""
WATCH_SECONDS = 0.25

_Name = TypeVar("_Name", bound=tuple[str, ...])


@dataclass(frozen=True)
class Run:
    """Time and memory of one run."""

    seconds: float
    own_memory: float
    """Peak resident memory of its process in MiB; 0 without /proc."""
    worker_memory: float
    """The same for the largest child process; 0 if there is none."""


def run_alone(function: Callable[[], float]) -> Run:
    """Call a function that returns its duration in seconds, in a new process whose memory is recorded.

    Args:
        function: function of a module, or a partial of one, so that a new process can import it.

    Raises:
        UserError: raised by the function.
    """
    os.sync()  # so that pending writes of the previous run are not counted
    receiver, sender = SPAWN.Pipe(duplex=False)
    process = SPAWN.Process(target=_answer, args=(sender, function))
    process.start()
    sender.close()
    peaks: dict[int, float] = {}
    try:
        while not receiver.poll(WATCH_SECONDS):
            peaks |= _peaks(process.pid)
        answer, last_peaks = receiver.recv()
        process.join()
    finally:
        process.terminate()
    if isinstance(answer, UserError):
        raise answer
    peaks |= last_peaks
    own = peaks.pop(process.pid or 0, 0.0)
    return Run(answer, own, max(peaks.values(), default=0.0))


def _answer(sender: Connection, function: Callable[[], float]) -> None:
    try:
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
            answer = function()
    except UserError as error:
        answer = UserError(str(error))  # not every subclass can be pickled
    sender.send((answer, _peaks(os.getpid())))


def _peaks(pid: int | None) -> dict[int, float]:
    """Peak resident memory so far, in MiB, of a process and its children, by process id; empty without /proc."""
    peaks: dict[int, float] = {}
    for status in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError):  # the process has ended since
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
            # Unlike getrusage's, this peak does not include the memory of the parent before the start.
            if pid in (int(fields["Pid"]), int(fields["PPid"])) and "VmHWM" in fields:
                peaks[int(fields["Pid"])] = int(fields["VmHWM"].split()[0]) / 1024
    return peaks


def run_in_turn(functions: Mapping[_Name, Callable[[], float]], rounds: int) -> dict[_Name, list[Run]]:
    """Run every function once in each round, in alternating order, so that a drift cancels."""
    runs: dict[_Name, list[Run]] = {name: [] for name in functions}
    for turn in range(rounds):
        for name in list(functions)[:: -1 if turn % 2 else 1]:
            run = run_alone(functions[name])
            runs[name].append(run)
            print(f"round {turn + 1} of {rounds}, {', '.join(name)}: {run.seconds:.2f} s", file=sys.stderr)
    return runs


def middle(values: Sequence[float], unit: str = "", decimals: int = 2) -> str:
    """Median, with the lowest and the highest value."""
    median_, low, high = (f"{value:.{decimals}f}" for value in (median(values), min(values), max(values)))
    return f"{median_}{unit and ' ' + unit} ({low} to {high})"


def ratio(one: Sequence[float], other: Sequence[float]) -> str:
    """`middle` of the ratios of values of the same round."""
    return middle([a / b for a, b in zip(one, other, strict=True)])
