"""Atomic files and folders."""

import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import TypeAlias

from speakerid.base.errors import UserError
from speakerid.base.locks import fcntl

StrPath: TypeAlias = str | os.PathLike[str]
"""Path as users give it."""
_PARTIAL = ".partial"
_LONGEST_PREFIX = 200
"""In bytes of the name."""


@contextmanager
def atomic_file(path: Path, mode: int = 0o666) -> Iterator[Path]:
    """Yield a temporary file next to `path`, which replaces it if the block succeeds and is removed otherwise.

    A symbolic link is kept, and the file it points to is replaced. A replaced file keeps its mode and owner.

    Args:
        path: the file to write.
        mode: permissions of a new file, before the umask; 0o600 for personal data.

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
        # Created here, so that its content is never readable by more users than the final file's.
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
            f"{path}: cannot be written: {error.strerror or error}; the previous content is kept"
        ) from error
    finally:
        if partial:
            with suppress(OSError):  # if it could not be created, the reason has already been raised
                partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder next to `path`, which is renamed to `path` if the block succeeds and removed otherwise.

    Temporary folders that killed processes left for the same `path` are removed first.

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
    """Remove the temporary files that killed processes left; no other process may be writing them.

    Args:
        folder: folder of the files.
        of: remove only those of this file; by default all.
    """
    # Only hexadecimal digits between name and suffix: the temporary files of `b.c` are not those of `b`.
    name = re.compile(rf"{re.escape(hidden_prefix(of))}[0-9a-f]+{re.escape(_PARTIAL)}" if of else ".*")
    for path in folder.glob(f".*{_PARTIAL}"):
        if name.fullmatch(path.name):
            path.unlink(missing_ok=True)


def _locked_folder(path: Path) -> tuple[Path, int | None]:
    """A new temporary folder next to `path`, and the handle that holds its lock until it is closed.

    Windows has no handles of folders; there, those of killed processes are left.
    """
    while True:
        partial = path.with_name(f"{hidden_prefix(path)}{secrets.token_hex(4)}{_PARTIAL}")
        partial.mkdir()
        if fcntl is None:
            return partial, None
        handle = _folder_handle(partial)
        if handle is None:  # another process considered it abandoned before it was opened
            continue
        with suppress(OSError):  # some network file systems have no locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        if partial.exists():  # otherwise another process considered it abandoned before it was locked
            return partial, handle
        os.close(handle)


def _remove_abandoned(path: Path) -> None:
    """Remove the temporary folders of `path` whose processes have ended, so that no one holds their locks."""
    if fcntl is None:
        return
    name = re.compile(rf"{re.escape(hidden_prefix(path))}[0-9a-f]+{re.escape(_PARTIAL)}")
    for partial in path.parent.iterdir():
        if name.fullmatch(partial.name) and partial.is_dir() and not partial.is_symlink():
            handle = _folder_handle(partial)
            if handle is None:
                continue
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(partial, ignore_errors=True)
            except OSError:  # in use, or on a file system without locks
                continue
            finally:
                os.close(handle)


def _folder_handle(path: Path) -> int | None:
    """An open handle of a folder, None if the folder has been removed or renamed in the meantime."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None


def real_path(path: Path) -> Path:
    """The path with all symbolic links resolved, so that two names of a file share its lock and its folder."""
    return Path(os.path.realpath(path))


def check_regular(path: Path) -> None:
    """Check that a path is a regular file; reading anything else could block or never end.

    Raises:
        FileNotFoundError: the file does not exist.
        UserError: a folder, device, pipe or socket; the message does not contain its name.
    """
    try:
        mode = os.stat(path).st_mode
    except ValueError as error:  # a NUL in the name
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from error
    if not stat.S_ISREG(mode):
        raise UserError(f"found {_kind(mode)}, expected a regular file")


def hidden_prefix(path: Path) -> str:
    """Prefix of the names of hidden files that belong to a file.

    File names have at most 255 bytes, so a long one is cut and made unique by its digest.
    """
    name = os.fsencode(path.name)
    if len(name) <= _LONGEST_PREFIX:
        return f".{path.name}."
    return f".{name[:_LONGEST_PREFIX].decode(errors='ignore')}-{blake2b(name, digest_size=8).hexdigest()}."


def _writable(path: Path) -> os.stat_result | None:
    """Status of a file that may be replaced, None if it does not exist.

    Raises:
        OSError: its status cannot be read, or it is a folder.
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
    if os.name == "nt":
        return
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
    if os.name == "nt":
        return
    # Without this a crash of the machine can undo the rename, but not damage the file.
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
