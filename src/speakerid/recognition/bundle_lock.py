"""Lock a bundle's file for a change, and notice changes by others."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from speakerid.base.errors import UserError
from speakerid.base.files import check_regular, hidden_prefix, real_path, remove_partials
from speakerid.base.locks import file_lock

FileVersion = tuple[int, int, int, int]
"""Device, inode, time of the last change and size of a file."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Block other writers of a bundle while the block runs, and remove files that killed writers left.

    The lock file is beside the bundle that `path` leads to and has its owner and its permissions.

    Raises:
        UserError: the folder is not writable, or `path` is not a regular file.
    """
    real, mode, owner = real_path(path), 0o600, None
    try:
        check_regular(real)
        status = real.stat()
        # The owner of a write-protected bundle may replace it, and so may lock it.
        mode, owner = stat.S_IMODE(status.st_mode) & 0o666 | 0o600, (status.st_uid, status.st_gid)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except OSError:
        pass  # a new bundle
    with file_lock(real.with_name(f"{hidden_prefix(real)}lock"), wait=True, mode=mode, owner=owner):
        try:
            remove_partials(real.parent, of=real)
        except OSError as error:
            raise UserError(
                f"{error.filename}: cannot be removed: {error.strerror}; a writer that was killed left it, and it may "
                "hold voice prints"
            ) from error
        yield


def version_of(path: Path) -> FileVersion | None:
    """Version of a bundle's file, which changes whenever it is written or replaced; None if the file does not exist."""
    try:
        status = path.stat()
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size
