"""Standard output and standard error of a command, and what happens if they cannot be written."""

import errno
import io
import os
import sys
from typing import Any

from speakerid.base.errors import UserError

STDOUT, STDERR = 1, 2


class LostOutput(UserError):
    """Standard output cannot be written.

    It is not an OSError, because those are reported with the file that was being written.

    Args:
        error: error of the system.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(f"standard output: cannot be written: {error.strerror}; free space or redirect it elsewhere")
        self.reader_left = isinstance(error, BrokenPipeError)
        """Whether the reader of a pipe, such as `head`, has closed it."""


def guard_streams() -> None:
    """Replace the standard streams, so that failed writes are handled.

    A failed write to standard output raises `LostOutput`, one to standard error is ignored, and characters that the
    encoding does not have are escaped. Streams that were already replaced, for example by a test, are not changed.

    Raises:
        LostOutput: standard output is closed.
    """
    closed = sys.stdout is None
    _open_closed()
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        sys.stderr = _guarded(_Stderr(STDERR, "w", closefd=False), sys.stderr)
    if closed or sys.stdout is sys.__stdout__:
        sys.stdout = _guarded(_Stdout(STDOUT, "w", closefd=False), sys.stdout)
    if closed:
        raise LostOutput(OSError(errno.EBADF, "it is closed"))


def discard_stdout() -> None:
    """Discard buffered output, so that Python does not report it at exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
    sys.stdout.flush()


class _Stdout(io.FileIO):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._terminal = os.isatty(self.fileno())

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if self._terminal and error.errno == errno.EIO:  # the terminal was closed; continue
                return len(data)
            raise LostOutput(error) from error


class _Stderr(io.FileIO):
    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError:  # it cannot be reported, and the work does not depend on it
            return len(data)


def _guarded(raw: io.FileIO, previous: Any) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=previous.encoding if previous else "utf-8",
        errors="backslashreplace",
        # `python -u` sets write_through.
        line_buffering=bool(previous and (previous.line_buffering or previous.write_through)),
    )


def _open_closed() -> None:
    """Open the null device for closed standard streams, so that no other file gets their descriptors."""
    for descriptor in (0, STDOUT, STDERR):
        try:
            os.fstat(descriptor)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)  # gets the lowest free descriptor, which is this one
            os.set_inheritable(null, True)  # worker processes also need standard streams
