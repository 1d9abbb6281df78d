"""Files that are there whole or not at all, and that hold data and nothing that runs."""

import fcntl
import io
import os
import pickle
import shutil
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from speakerid.errors import UserError

_FOLDER = 0x10
"""The bit of a record's MS-DOS attributes that marks a folder in a zip archive."""


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; synced and renamed over it when the block ends well, else removed.

    Raises:
        UserError: the folder cannot be written or the disk is full; an earlier file at `path` is untouched.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written: {error.strerror or error}; what was there before is kept"
        ) from error
    finally:
        with suppress(OSError):  # where it could not even be made, the reason is on its way already
            partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; renamed to `path` when the block ends well, else removed.

    Raises:
        UserError: `path` already exists, or cannot be written.
    """
    if path.exists():
        raise UserError(f"{path}: already exists; choose another folder or delete this one first")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.mkdir(parents=True)
        yield partial
        os.replace(partial, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def remove_partials(folder: Path) -> None:
    """Remove what killed processes left of `atomic_file` in a folder that nobody else writes to now."""
    for path in folder.glob(".*.partial"):
        path.unlink()


@contextmanager
def sole_user(path: Path, wait: bool = False) -> Iterator[None]:
    """Hold a lock file while the block runs; it is released however the process ends.

    Args:
        path: of the lock file, which stays.
        wait: until another process has released it.

    Raises:
        UserError: another process holds it and `wait` is false, or the file cannot be made.
    """
    try:
        file = path.open("w")
    except OSError as error:
        raise UserError(f"{path.parent}: cannot be written: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise UserError(f"{path.parent}: another process is at work here; wait until it has ended") from error
        yield


def save_plain(path: Path, content: object) -> None:
    """Write tensors and plain Python data; a full disk is an OSError, where `torch.save` to a path crashes."""
    import torch  # here, for processes that prepare recordings do without

    buffer = io.BytesIO()
    torch.save(content, buffer)
    # Not getbuffer(): an export still alive in a traceback crashes the garbage collector of Python 3.12.1.
    path.write_bytes(buffer.getvalue())


def load_plain(path: Path) -> object:
    """What `save_plain` or `torch.save` wrote, on the CPU, without executing anything from it.

    Raises:
        FileNotFoundError: there is no such file.
        UserError: it cannot be read, is damaged or carries code; the message does not name it.
    """
    import torch

    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}") from error
    try:
        if not _is_intact(content):
            raise UserError("damaged: a part of it differs from its checksum; write it again")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old or foreign formats: they are read or refused below
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (MemoryError, UserError):
        raise
    except pickle.UnpicklingError as error:
        raise UserError(
            "holds Python objects or code instead of plain data; refused, do not trust its source"
        ) from error
    except Exception as error:  # damaged bytes end in any of a dozen exceptions of torch, zipfile and pickle
        raise UserError("truncated or not a tensor file; write it again") from error


def _is_intact(content: bytes) -> bool:
    """False where a record of a tensor file differs from its checksum, which `torch.load` does not look at."""
    if not zipfile.is_zipfile(io.BytesIO(content)):  # the format before torch 1.6, which has no checksums
        return True
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        # A record marked as a folder is skipped by torch, which then takes whatever the memory held for its content.
        return archive.testzip() is None and not any(r.external_attr & _FOLDER for r in archive.infolist())


def _sync_folder(folder: Path) -> None:
    # Without this a crash of the machine can undo the rename, though not tear the file.
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
