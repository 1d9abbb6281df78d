"""Jobs for worker processes, which import them from this module."""

import os
import signal
from pathlib import Path


def square(number: int) -> int:
    return number * number


def die_at(job: tuple[int, Path, str, int]) -> int:
    """Square a number; first the process is killed by a signal, `times` times over all jobs of a folder."""
    number, folder, how, times = job
    if len(list(folder.iterdir())) < times:
        (folder / f"{number}-{os.getpid()}").touch()
        os.kill(os.getpid(), getattr(signal, how))
    return number * number


def fail(number: int) -> int:
    if number == 3:
        raise ValueError(f"found {number}")
    return number
