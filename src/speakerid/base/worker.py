"""Worker process that does one job at a time, so that a job that kills it can be identified."""

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

from speakerid.base.memory import keep_freed_memory

ONE_THREAD: Mapping[str, str] = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)
"""Environment variables that libraries read when they are loaded, possibly before any of our code runs."""
_PATIENCE = 5.0
"""Seconds to wait for a process to stop before killing it."""

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")


class ProcessDied(Exception):
    """A worker process ended during a job, or before its first one.

    Args:
        code: exit code; negative signal number if a signal ended the process.
        started: whether the process had become ready for a job.
    """

    def __init__(self, code: int, started: bool) -> None:
        super().__init__(f"exit code {code}")
        self.code = code
        self.started = started


class Worker(Generic[_Job, _Result]):
    """A worker process with one thread.

    Args:
        function: module-level function to call with each job, so that the process can import it.

    Attributes:
        connection: ready when the process has sent something or has ended.
        result: result of the last job.
    """

    result: _Result

    def __init__(self, function: Callable[[_Job], _Result]) -> None:
        # Spawn: a fork would inherit the threads of libraries in an undefined state.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(function, theirs))
        self._started = False
        with _environment(ONE_THREAD), _main_module_for(function):
            self._process.start()
        theirs.close()  # so that the connection closes when the process ends

    def send(self, job: _Job) -> None:
        """Send a job. If the process has died, `has_result` raises."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(job)

    def has_result(self) -> bool:
        """Receive from the process, once `connection` is ready; False if it only reports that it has started.

        Raises:
            ProcessDied: the process has ended.
            Exception: the exception that the function raised.
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

    def stop(self) -> None:
        """Stop the process, which removes its partial files."""
        self.connection.close()
        self._process.terminate()
        self._process.join(_PATIENCE)
        self._process.kill()
        self._process.join()


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Kill this process by SIGALRM if the block takes longer; does nothing outside a worker process.

    A decoder in C may hang, and Python exceptions cannot interrupt it.
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
    """Do jobs until the parent closes the connection."""
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
    null = os.open(os.devnull, os.O_WRONLY)  # decoders in C print directly, bypassing Python
    os.dup2(null, 1)
    os.dup2(null, 2)
    keep_freed_memory()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # unwinds the stack, so temporary files are removed
    parent = multiprocessing.parent_process()
    if parent is not None:

        def follow() -> None:
            parent.join()
            os._exit(1)  # else workers of a killed parent would wait forever

        threading.Thread(target=follow, daemon=True).start()


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for processes started in the block."""
    previous = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in previous.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _main_module_for(function: Callable[[_Job], _Result]) -> Iterator[None]:
    """Hide the main script from processes started in the block, unless it defines the function.

    A spawned process imports its parent's main script, and would run a script without a `__main__` guard.
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
