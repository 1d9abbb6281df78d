"""Serve the page of `speakerid serve`.

Recordings from a browser are temporary files in a folder of the server, which is deleted with it.
"""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from threading import Event, Thread

from speakerid.base.errors import UserError
from speakerid.base.extras import install
from speakerid.base.locks import file_lock
from speakerid.web.page import Page

SWEEP_SECONDS, OLDEST = 60.0, 600.0
"""Interval at which uploads that were abandoned are deleted, and the age from which they are, in seconds."""
_FOLDER, _LOCK = "speakerid-serve-", "server.lock"
"""Prefix of the name of a server's folder; file in it that is locked while the server runs."""


@contextmanager
def serving(page: Page, host: str, port: int) -> Iterator[str]:
    """Serve the page while the block runs, and yield its address.

    Args:
        page: answers of the page.
        host, port: address to listen on.

    Raises:
        UserError: Gradio is missing, or the address cannot be listened on.
    """
    # Gradio also reads the folder on import; a proxy would be asked for addresses of this machine.
    with _folder_of_recordings() as folder, _environment(GRADIO_TEMP_DIR=str(folder), no_proxy="*"):
        try:
            from speakerid.web.layout import launch
        except ModuleNotFoundError as error:
            raise UserError(f"serve: needs Gradio; {install('serve')}") from error
        try:
            blocks = launch(page, host, port, folder)
        except OSError as error:
            raise UserError(
                f"--port {port}: cannot listen on {host}; another program uses it, or it is not an address "
                "of this machine; choose another port or host"
            ) from error
        try:
            assert blocks.local_url is not None, "launched"
            with _swept(folder):
                yield blocks.local_url
        finally:
            blocks.close(verbose=False)


def delete_older(folder: Path, seconds: float) -> None:
    """Delete files and empty folders in a folder that have not been changed for a number of seconds."""
    for path in sorted(folder.rglob("*"), reverse=True):  # the content of a folder before the folder
        with suppress(OSError):  # deleted by another thread, or a folder that is not empty
            if time.time() - path.stat().st_mtime > seconds:
                path.rmdir() if path.is_dir() else path.unlink()


@contextmanager
def _folder_of_recordings() -> Iterator[Path]:
    """Temporary folder of this server, after those of killed servers have been deleted."""
    for folder in Path(gettempdir()).glob(f"{_FOLDER}*"):
        _delete_abandoned(folder)
    with TemporaryDirectory(prefix=_FOLDER) as name, file_lock(Path(name) / "new.lock"):
        folder = Path(name)
        (folder / "new.lock").rename(folder / _LOCK)  # locked before another server looks for it
        recordings = folder / "recordings"  # clients may name every file in it
        recordings.mkdir()
        yield recordings


def _delete_abandoned(folder: Path) -> None:
    with suppress(OSError, UserError):  # its server runs, or has just deleted it
        status = folder.lstat()
        if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and (folder / _LOCK).is_file():
            with file_lock(folder / _LOCK):
                shutil.rmtree(folder)


@contextmanager
def _swept(folder: Path) -> Iterator[None]:
    done = Event()

    def sweep() -> None:
        while not done.wait(SWEEP_SECONDS):
            delete_older(folder, OLDEST)

    sweeper = Thread(target=sweep)
    sweeper.start()
    try:
        yield
    finally:
        done.set()
        sweeper.join()


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Set variables that Gradio reads and has no argument for."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
