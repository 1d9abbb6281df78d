"""Open files for decoding, with libsndfile (soundfile) or else FFmpeg (PyAV, the extra `av`).

A file of several concatenated recordings is read as one recording.
"""

import importlib.util
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from speakerid.audio.concatenated import Part, has_header, parts
from speakerid.audio.decode_with_av import AV_EXTENSIONS, open_with_av
from speakerid.audio.decode_with_soundfile import open_with_soundfile
from speakerid.audio.not_audio import describe_content
from speakerid.audio.recording import Recording, UnknownFormat
from speakerid.base.errors import UserError
from speakerid.base.files import check_regular


@contextmanager
def open_recording(path: Path) -> Iterator[Recording]:
    """Open a file for decoding.

    Raises:
        UserError: the file cannot be read or decoded, is not a regular file, or changes while it is open.
    """
    try:
        check_regular(path)
        with path.open("rb") as file:  # pass a file: libraries want names to be valid Unicode
            before = _state(file)
            try:
                with ExitStack() as stack:
                    yield _open(file, path.suffix.lower(), stack)
            except UserError as error:
                if _state(file) == before:
                    raise
                raise _changed() from error
            if _state(file) != before:
                raise _changed()
    except OSError as error:
        raise UserError(f"cannot be decoded: {error.strerror or error}") from error


def _changed() -> UserError:
    return UserError("changed while it was read; wait until it is completely written, and try again")


def _state(file: BinaryIO) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns


def _open(file: BinaryIO, extension: str, stack: ExitStack) -> Recording:
    found = parts(file)
    if not found[0].size:
        raise UserError("cannot be decoded: it is empty (0 bytes); copy or download it again")
    openers = [partial(_open_part, part, extension) for part in found]
    try:
        return stack.enter_context(openers[0]()) if len(openers) == 1 else _joined(openers)
    except UserError as error:
        what = describe_content(found[0])
        if what is None and isinstance(error, UnknownFormat) and not has_header(found[0]):
            what = (
                "it does not begin with a known header; if it holds raw samples, add a header: "
                "sox -t raw -r 16000 -e signed -b 16 -c 1 FILE OUT.wav"
            )
        if what is None:
            raise
        raise UserError(f"cannot be decoded: {what}") from error


@contextmanager
def _open_part(part: Part, extension: str) -> Iterator[Recording]:
    with ExitStack() as stack:
        recording = None
        if extension not in AV_EXTENSIONS:
            try:
                recording = stack.enter_context(open_with_soundfile(part))
            except UnknownFormat:
                if importlib.util.find_spec("av") is None:
                    raise
        yield recording or stack.enter_context(open_with_av(part, extension))


def _joined(openers: Sequence[Callable[[], AbstractContextManager[Recording]]]) -> Recording:
    """Join consecutive recordings; the length is unknown until they are read."""
    with openers[0]() as head:
        rate, channels, lag = head.sample_rate, head.channels, head.lag

    def blocks(first: int) -> Iterator[NDArray[np.float32]]:
        done = 0
        for opener in openers:
            with opener() as part:
                if (part.sample_rate, part.channels) != (rate, channels):
                    raise UserError(
                        f"holds {len(openers)} concatenated recordings, which differ in sample rate or channels "
                        f"after {done / rate:.2f} s; split the file"
                    )
                found = 0
                if part.length is not None and done + part.length <= first:
                    found = part.length
                else:
                    for block in part.blocks(0):
                        found += len(block)
                        yield block[max(0, first - done - found + len(block)) :]
                if part.header_length is not None and part.is_missing(found, part.header_length):
                    raise part.truncation_error(found)
                done += found

    return Recording(rate, channels, None, None, blocks, lag)
