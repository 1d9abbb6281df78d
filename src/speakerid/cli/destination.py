"""Check the outputs of a command before the work: what may be replaced, and what can be written."""

import os
import stat
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from speakerid.base.errors import UserError
from speakerid.base.files import real_path
from speakerid.cli.kinds import Kind, content_of
from speakerid.cli.streams import STDERR, STDOUT


def check_destination(path: Path, kind: Kind, inputs: Iterable[Path], option: str = "") -> None:
    """Refuse an output that would replace an input or a file of another kind, or that cannot be written.

    Args:
        path: file to write; it may exist. Links are followed.
        kind: kind of the output. An existing file of this kind, or an empty one, may be replaced.
        inputs: files that the command reads, or that must not be replaced for another reason; they need not exist.
        option: option that names the output, for the message.

    Raises:
        UserError: the output must not be replaced, or cannot be written.
    """
    where = f"{option}: {path}" if option else str(path)
    for source in inputs:
        if is_same_file(path, source):
            raise UserError(f"{where}: is an input of this command, {source}; choose another file for the output")
    try:
        status = os.stat(path)
    except FileNotFoundError:
        status = None
    except OSError as error:
        raise UserError(f"{where}: cannot be written: {error.strerror}; choose another file") from error
    if status:
        _check_existing(path, status, kind, where)
    check_writable(real_path(path).parent, where)


def check_folder(folder: Path, inputs: Iterable[Path], option: str = "") -> None:
    """Refuse an output folder that is an input, is inside one, or cannot be written.

    Args:
        folder: folder to write to; it need not exist.
        inputs: folders or files that the command reads.
        option: option that names the folder, for the message.

    Raises:
        UserError: the folder is refused.
    """
    where = f"{option}: {folder}" if option else str(folder)
    for source in inputs:
        if is_inside(folder, source):
            raise UserError(f"{where}: is in {source}, an input of this command; choose a folder outside it")
    check_writable(folder, where)


def check_writable(folder: Path, where: str) -> None:
    """Refuse a folder in which no file can be created; it need not exist.

    Args:
        folder: folder to check.
        where: name of the output, for the message.

    Raises:
        UserError: the folder cannot be written.
    """
    folder = real_path(folder)
    existing = next(above for above in (folder, *folder.parents) if os.path.lexists(above))
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise UserError(f"{where}: cannot be written: {existing}: {error.strerror}; choose another folder") from error


def check_apart(folder: Path, other: Path, option: str) -> None:
    """Refuse an output folder that contains another output folder, or is inside it."""
    if is_inside(folder, other) or is_inside(other, folder):
        raise UserError(f"{option}: {folder}: is inside {other}, or contains it; choose another folder")
    check_folder(folder, (), option)


def corpus_files(root: Path) -> list[Path]:
    """Files of a corpus besides its features, whether or not they exist."""
    from speakerid.corpus import answers, hw4
    from speakerid.preparation import recordings_table

    names = (hw4.METADATA, hw4.TESTDATA, hw4.MAPPING, hw4.STRANGERS, hw4.FEATURES, answers.NAME, recordings_table.NAME)
    return [root / name for name in (*names, "report.html")]


def run_files(run_dir: Path) -> list[Path]:
    """Files that a training run writes to its folder, whether or not they exist."""
    names = ("best.pt", "last.pt", "config.yaml", "metrics.jsonl", "curves.png")
    return [*(run_dir / name for name in names), *(run_dir / "checkpoints").glob("*")]


def is_same_file(a: Path, b: Path) -> bool:
    """Whether two paths are the same file, also through links, hard links or another spelling; neither need exist."""
    try:
        return os.path.samefile(a, b)
    except OSError:
        return real_path(a) == real_path(b)


def is_inside(path: Path, folder: Path) -> bool:
    """Whether a path is a folder or is inside it, following links."""
    return any(is_same_file(above, folder) for above in (real_path(path), *real_path(path).parents))


def _is_standard_stream(status: os.stat_result) -> bool:
    """Whether standard output or standard error is redirected to a file."""
    for descriptor in (STDOUT, STDERR):
        with suppress(OSError):  # the stream is closed
            if os.path.samestat(status, os.fstat(descriptor)):
                return True
    return False


def _check_existing(path: Path, status: os.stat_result, kind: Kind, where: str) -> None:
    """Refuse to replace a file of another kind than the output."""
    if stat.S_ISDIR(status.st_mode):
        raise UserError(f"{where}: found a folder, expected the name of a file; add one")
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"{where}: found a pipe, a device or a socket, expected a regular file or a new name")
    if _is_standard_stream(status):
        raise UserError(f"{where}: is where this command prints, which would be lost; choose another file")
    try:
        if not status.st_size or kind.recognizes(path):
            return
        found = content_of(path)
    except OSError as error:
        raise UserError(f"{where}: cannot be read: {error.strerror}; choose another file") from error
    raise UserError(
        f"{where}: found {found}, expected a new name or {kind.name} to replace; choose another name or delete the file"
    )
