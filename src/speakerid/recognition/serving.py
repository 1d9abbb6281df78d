"""The page of `speakerid serve`, served for a while.

What a browser sends is a temporary file in a folder of the server's own, which goes with it.
"""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from threading import Event, Thread

from speakerid.errors import UserError
from speakerid.extras import install
from speakerid.files import file_lock
from speakerid.recognition.page import Page

SWEEP_SECONDS, OLDEST = 60.0, 600.0
"""How often is looked for files that were sent, or begun to be sent, and never asked about; how old they get."""
_FOLDER, _LOCK = "speakerid-serve-", "server.lock"
"""What the name of a server's folder begins with; a file in it that the server holds a lock on while it runs."""


@contextmanager
def serving(page: Page, host: str, port: int) -> Iterator[str]:
    """The address of the page, which is there while the block runs.

    Args:
        page: what it answers.
        host, port: where it listens.

    Raises:
        UserError: Gradio is missing, or host and port cannot be listened at.
    """
    # Gradio reads the folder when it is imported, too; a proxy would be asked for what is on this machine.
    with _folder_of_recordings() as folder, _environment(GRADIO_TEMP_DIR=str(folder), no_proxy="*"):
        try:
            from speakerid.recognition.page_layout import launch
        except ModuleNotFoundError as error:
            raise UserError(f"serve: needs Gradio; {install('serve')}") from error
        try:
            blocks = launch(page, host, port, folder)
        except OSError as error:
            raise UserError(
                f"--port {port}: cannot be listened at on {host}; another program is there, or it is no address of "
                "this machine; choose another port or host"
            ) from error
        try:
            assert blocks.local_url is not None, "launched"
            with _swept(folder):
                yield blocks.local_url
        finally:
            blocks.close(verbose=False)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host's ports."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def delete_older(folder: Path, seconds: float) -> None:
    """Delete the files and the empty folders below a folder that have not been written to for so long."""
    for path in sorted(folder.rglob("*"), reverse=True):  # what is in a folder before the folder
        with suppress(OSError):  # deleted by another thread, or a folder that is not empty
            if time.time() - path.stat().st_mtime > seconds:
                path.rmdir() if path.is_dir() else path.unlink()


@contextmanager
def _folder_of_recordings() -> Iterator[Path]:
    """A temporary folder of this server. Those of servers that were killed are deleted before."""
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
