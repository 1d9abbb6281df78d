"""One process that does one job at a time, so that a job that kills it is known, and how."""

import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection
from types import ModuleType
from typing import Generic, TypeVar

from speakerid.memory import keep_freed_memory

ONE_THREAD: Mapping[str, str] = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)
"""Read by the libraries when they are loaded, which may be before any line of ours in a process."""
_PATIENCE = 5.0
"""Seconds a process may take to stop when it is asked to."""

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")


class ProcessDied(Exception):
    """A worker process ended in the middle of a job, or before its first one.

    Args:
        code: its exit code; minus the number of the signal that ended it.
        started: False if it ended before it was ready for a job.
    """

    def __init__(self, code: int, started: bool) -> None:
        super().__init__(f"exit code {code}")
        self.code = code
        self.started = started


class Worker(Generic[_Job, _Result]):
    """A process of one thread.

    Args:
        function: what it does to each job; of a module, so that the process can import it.

    Attributes:
        connection: ready when the process has something to say, or has ended.
        result: of the last job.
    """

    result: _Result

    def __init__(self, function: Callable[[_Job], _Result]) -> None:
        # A fork would inherit the threads of libraries in an unknown state; a fresh process cannot.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(function, theirs))
        self._started = False
        with _environment(ONE_THREAD), _main_module_for(function):
            self._process.start()
        theirs.close()  # now the connection ends when the process does

    def give(self, job: _Job) -> None:
        """Start a job. That the process has died meanwhile shows in `has_result`."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(job)

    def has_result(self) -> bool:
        """Read what the process has sent, once `connection` is ready; False if that only says that it has started.

        Raises:
            ProcessDied: the process has ended.
            Exception: whatever the function raised.
        """
        try:
            answer = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self._process.join(_PATIENCE)
            raise ProcessDied(self._process.exitcode or 0, self._started) from None
        if not self._started:
            self._started = True
            return False
        self.result, error, trace = answer
        if error is not None:
            raise error from RuntimeError(trace)
        return True

    def end(self) -> None:
        """Stop the process, which removes what it has written by half."""
        self.connection.close()
        self._process.terminate()
        self._process.join(_PATIENCE)
        self._process.kill()
        self._process.join()


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Kill this process by SIGALRM if the block takes longer; does nothing outside a worker process.

    A decoder in C may hang where no exception reaches it.
    """
    armed = multiprocessing.parent_process() is not None and hasattr(signal, "setitimer")
    if armed:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        if armed:
            signal.setitimer(signal.ITIMER_REAL, 0)


def _serve(function: Callable[[_Job], _Result], connection: Connection) -> None:
    """Do jobs until the parent stops asking or is gone."""
    _start_worker()
    connection.send("ready")
    while True:
        try:
            job = connection.recv()
        except EOFError:
            return
        try:
            answer = function(job), None, ""
        except Exception as error:
            answer = None, error, traceback.format_exc()
        try:
            connection.send(answer)
        except (TypeError, AttributeError, ValueError) as error:  # the exception or the result cannot be pickled
            connection.send((None, RuntimeError(f"{error}\n{answer[2]}"), answer[2]))


def _start_worker() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)  # decoders in C print what they dislike, past Python
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    keep_freed_memory()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # unwinds, so that temporary files are removed
    parent = multiprocessing.parent_process()
    if parent is not None:

        def follow() -> None:
            parent.join()
            os._exit(1)  # a parent that was killed would leave its workers waiting forever

        threading.Thread(target=follow, daemon=True).start()


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables for the processes that start meanwhile."""
    former = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in former.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _main_module_for(function: Callable[[_Job], _Result]) -> Iterator[None]:
    """Hide the main script from the processes that start meanwhile, unless the function belongs to it.

    A spawned process imports the main script of its parent, and would run one that has no `__main__` guard.
    """
    while isinstance(function, partial):
        function = function.func
    main = sys.modules["__main__"]
    if function.__module__ != "__main__":
        sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
