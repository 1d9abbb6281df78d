"""Signals that stop a run: it finishes its step and saves first."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import torch

from speakerid.base.distributed import highest


def agreed(caught: list[signal.Signals]) -> signal.Signals | None:
    """The signal that any process caught, so that all processes stop after the same step."""
    number = int(highest(torch.tensor(int(caught[0]) if caught else 0)))
    return signal.Signals(number) if number else None


@contextmanager
def caught_signals(say: Callable[[str], None]) -> Iterator[list[signal.Signals]]:
    """Yield a list of caught signals: the first SIGINT, SIGTERM or SIGHUP is appended, a second one acts as usual."""
    caught: list[signal.Signals] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    if before[signal.SIGHUP] == signal.SIG_IGN:  # under nohup, a closed terminal does not stop the run
        del before[signal.SIGHUP]

    def catch(number: int, frame: FrameType | None) -> None:
        caught.append(signal.Signals(number))
        for number, handler in before.items():
            signal.signal(number, handler)
        say("Stopping after this step; a second signal stops at once and loses what is not saved")

    for number in before:
        signal.signal(number, catch)
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
