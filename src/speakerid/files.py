"""Files that are there whole or not at all, and locks."""

import errno
import fcntl
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path

from speakerid.errors import UserError

_PARTIAL = ".partial"
_LONGEST_PREFIX = 200
"""Bytes of a name."""


@contextmanager
def atomic_file(path: Path, mode: int = 0o666) -> Iterator[Path]:
    """Yield a temporary file beside the one that `path` names; renamed over it when the block ends well, else removed.

    A symbolic link stays, and the file it points to is replaced. A file that is replaced keeps its mode and its owner.

    Args:
        path: name of the file.
        mode: permissions of a new file, less the umask; 0o600 for personal data.

    Raises:
        UserError: the folder cannot be written, the disk is full, or `path` names a device, a pipe or a socket; an
            earlier file at `path` is untouched.
    """
    partial = None
    try:
        former = _writable(path)
        target = real_path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"{hidden_prefix(target)}{secrets.token_hex(4)}{_PARTIAL}")
        # Made here, so that its content is never readable to more people than the file that it becomes.
        os.close(
            os.open(
                partial,
                os.O_CREAT | os.O_EXCL | os.O_WRONLY,
                0o600 | (stat.S_IMODE(former.st_mode) if former else mode),
            )
        )
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
            if former:
                _copy_permissions(former, file.fileno())
        os.replace(partial, target)
        _sync_folder(target.parent)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written: {error.strerror or error}; what was there before is kept"
        ) from error
    finally:
        if partial:
            with suppress(OSError):  # if it could not be made, the reason has been raised already
                partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; renamed to `path` when the block ends well, else removed.

    What killed processes left of earlier attempts at the same folder is removed first.

    Raises:
        UserError: `path` already exists, or cannot be written.
    """
    if path.exists():
        raise UserError(f"{path}: already exists; choose another folder or delete this one first")
    partial = handle = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path)
        partial, handle = _locked_folder(path)
        yield partial
        os.replace(partial, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        if partial:
            shutil.rmtree(partial, ignore_errors=True)
        if handle is not None:
            os.close(handle)


def remove_partials(folder: Path, of: Path | None = None) -> None:
    """Remove the temporary files that killed processes left, in a folder or of a file that no other process writes now.

    Args:
        folder: where.
        of: only those of this file; by default all.
    """
    # The one word between name and ending keeps the files of `b.c` out of those of `b`.
    name = re.compile(rf"{re.escape(hidden_prefix(of))}[0-9a-f]+{re.escape(_PARTIAL)}" if of else ".*")
    for path in folder.glob(f".*{_PARTIAL}"):
        if name.fullmatch(path.name):
            path.unlink(missing_ok=True)


def _locked_folder(path: Path) -> tuple[Path, int]:
    """A new temporary folder beside one, and the handle that holds its lock for as long as this process lives."""
    while True:
        partial = path.with_name(f"{hidden_prefix(path)}{secrets.token_hex(4)}{_PARTIAL}")
        partial.mkdir()
        handle = _folder_handle(partial)
        if handle is None:  # another process took it for abandoned before it was opened
            continue
        with suppress(OSError):  # not every network file system has locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        if partial.exists():  # else another process took it for abandoned before it was locked
            return partial, handle
        os.close(handle)


def _remove_abandoned(path: Path) -> None:
    """Remove the temporary folders beside a folder whose processes have ended: nobody holds their locks."""
    name = re.compile(rf"{re.escape(hidden_prefix(path))}[0-9a-f]+{re.escape(_PARTIAL)}")
    for partial in path.parent.iterdir():
        if name.fullmatch(partial.name) and partial.is_dir() and not partial.is_symlink():
            handle = _folder_handle(partial)
            if handle is None:
                continue
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(partial, ignore_errors=True)
            except OSError:  # at work, or on a file system without locks
                continue
            finally:
                os.close(handle)


def _folder_handle(path: Path) -> int | None:
    """An open handle of a folder, None if the folder has been removed or renamed meanwhile."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None


def real_path(path: Path) -> Path:
    """The path with every symbolic link followed, so that two names of one file have one lock and one folder."""
    return Path(os.path.realpath(path))


def check_regular(path: Path) -> None:
    """Refuse what would block or never end when it is read.

    Raises:
        FileNotFoundError: there is no such file.
        UserError: a folder, device, pipe or socket; the message does not name it.
    """
    try:
        mode = os.stat(path).st_mode
    except ValueError as error:  # a NUL in the name
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from error
    if not stat.S_ISREG(mode):
        raise UserError(f"found {_kind(mode)}, expected a regular file")


@contextmanager
def sole_user(
    path: Path, wait: bool = False, mode: int | None = None, owner: tuple[int, int] | None = None
) -> Iterator[None]:
    """Hold a lock file while the block runs; it is released however the process ends.

    Args:
        path: of the lock file, which stays; its content is never changed.
        wait: until another process has released it.
        mode: permissions of the lock file; by default those of any new file.
        owner: user and group that get the lock file, where this process may give it to them.

    Raises:
        UserError: another process holds it and `wait` is false, or the file cannot be made.
    """
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        handle = os.open(path, flags, 0o666 if mode is None else mode)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UserError(f"{path}: found a symbolic link, expected a lock file; delete the link") from error
        raise UserError(f"{path.parent}: cannot be written: {error.strerror}") from error
    with os.fdopen(handle, "rb", buffering=0):
        if os.fstat(handle).st_nlink > 1:
            raise UserError(f"{path}: found another file's name, a hard link, expected a lock file; delete the link")
        with suppress(PermissionError):  # another user's lock file
            if mode is not None:
                os.fchmod(handle, mode)
            if owner is not None:
                os.fchown(handle, *owner)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise UserError(f"{path.parent}: another process is at work here; wait until it has ended") from error
        yield


def hidden_prefix(path: Path) -> str:
    """What the names of hidden files beside a file begin with.

    A name takes 255 bytes at most, so a long one is cut, and told apart by its digest.
    """
    name = os.fsencode(path.name)
    if len(name) <= _LONGEST_PREFIX:
        return f".{path.name}."
    return f".{name[:_LONGEST_PREFIX].decode(errors='ignore')}-{blake2b(name, digest_size=8).hexdigest()}."


def _writable(path: Path) -> os.stat_result | None:
    """Status of the file that `path` names, None if there is none.

    Raises:
        OSError: it cannot be looked at, or is a folder.
        UserError: a device, pipe or socket.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"{path}: found {_kind(status.st_mode)}, expected a regular file or a new name; choose another")
    return status


def _copy_permissions(former: os.stat_result, handle: int) -> None:
    new = os.fstat(handle)
    if (new.st_uid, new.st_gid) != (former.st_uid, former.st_gid):
        with suppress(PermissionError):  # only root may give a file away
            os.fchown(handle, former.st_uid, former.st_gid)
    if new.st_mode != former.st_mode:
        os.fchmod(handle, stat.S_IMODE(former.st_mode))


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(stat.S_IFMT(mode), "something else")


def _sync_folder(folder: Path) -> None:
    # Without this a crash of the machine can undo the rename, though not tear the file.
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
