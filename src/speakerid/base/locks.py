"""File locks."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from speakerid.base.errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
"""The module of POSIX locks; None where there is none."""

_IN_USE = "{}: another process is using this folder; wait until it has ended"


@contextmanager
def file_lock(
    path: Path, wait: bool = False, mode: int | None = None, owner: tuple[int, int] | None = None
) -> Iterator[None]:
    """Hold a file lock while the block runs; it is released even if the process is killed.

    Args:
        path: the lock file, which is not removed; its content is never changed.
        wait: wait until another process has released the lock.
        mode: permissions of the lock file; by default those of any new file.
        owner: user and group of the lock file, if this process may set them.

    Raises:
        UserError: another process holds the lock and `wait` is false, or the file cannot be created.
    """
    if fcntl is None:
        with _windows_lock(path, wait):
            yield
        return
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        handle = os.open(path, flags, 0o666 if mode is None else mode)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UserError(f"{path}: found a symbolic link, expected a lock file; delete the link") from error
        raise UserError(f"{path.parent}: cannot be written: {error.strerror}") from error
    with os.fdopen(handle, "rb", buffering=0):
        if os.fstat(handle).st_nlink > 1:
            raise UserError(f"{path}: found a hard link to another file, expected a lock file; delete the link")
        with suppress(PermissionError):  # another user's lock file
            if mode is not None:
                os.fchmod(handle, mode)
            if owner is not None:
                os.fchown(handle, *owner)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise UserError(_IN_USE.format(path.parent)) from error
        yield


@contextmanager
def _windows_lock(path: Path, wait: bool) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout as error:
        raise UserError(_IN_USE.format(path.parent)) from error
    except OSError as error:
        raise UserError(f"{path.parent}: cannot be written: {error.strerror}") from error
    try:
        yield
    finally:
        lock.release()
