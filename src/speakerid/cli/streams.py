"""Standard output and standard error of a command: what happens where they cannot be written."""

import errno
import io
import os
import sys
from typing import Any

from speakerid.errors import UserError

STDOUT, STDERR = 1, 2


class LostOutput(UserError):
    """Standard output cannot be written.

    Not an OSError: those are reported with the file that was being written at the time.

    Args:
        error: what the system said.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(f"standard output: cannot be written: {error.strerror}; free space or redirect it elsewhere")
        self.reader_left = isinstance(error, BrokenPipeError)
        """The other end of a pipe, `head` for instance, has read enough."""


def guard_streams() -> None:
    """Report a failed write to standard output as `LostOutput`, ignore one to standard error, and escape what the
    terminal's encoding does not have.

    Streams that something else has put in place, a test for instance, are left alone.

    Raises:
        LostOutput: standard output is closed.
    """
    closed = sys.stdout is None
    _occupy_closed()
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        sys.stderr = _guarded(_Stderr(STDERR, "w", closefd=False), sys.stderr)
    if closed or sys.stdout is sys.__stdout__:
        sys.stdout = _guarded(_Stdout(STDOUT, "w", closefd=False), sys.stdout)
    if closed:
        raise LostOutput(OSError(errno.EBADF, "it is closed"))


def abandon_stdout() -> None:
    """Send what is still buffered to the null device, or Python complains of it at exit."""
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
            if self._terminal and error.errno == errno.EIO:  # its window was closed; the work goes on
                return len(data)
            raise LostOutput(error) from error


class _Stderr(io.FileIO):
    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError:  # there is no other place to say so, and the work does not depend on it
            return len(data)


def _guarded(raw: io.FileIO, former: Any) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=former.encoding if former else "utf-8",
        errors="backslashreplace",
        # `python -u` writes through.
        line_buffering=bool(former and (former.line_buffering or former.write_through)),
    )


def _occupy_closed() -> None:
    """Open the null device in place of closed standard streams, or the next file opened would be taken for one."""
    for descriptor in (0, STDOUT, STDERR):
        try:
            os.fstat(descriptor)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
            os.set_inheritable(null, True)  # worker processes need standard streams, too
