"""Receive the recordings that a browser sends to the page.

Gradio names an uploaded file by its content. Two clients that send the same recording would share one file, and
the first answer would delete it for both. Here every file has a folder of its own.
"""

from __future__ import annotations

import shutil
from collections.abc import MutableMapping
from pathlib import Path, PurePosixPath
from tempfile import mkdtemp
from typing import Any, BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Send

ADDRESS = "/gradio_api/upload"
"""Path to which Gradio's page and its clients send files."""
LONGEST_NAME = 200
"""Longest file name in bytes; file systems allow 255."""


class TooLarge(Exception):
    """A file is larger than the limit."""


class Uploads:
    """ASGI middleware that answers `POST /gradio_api/upload` instead of Gradio.

    Args:
        app: the ASGI application to wrap.
        folder: existing folder for the files.
        max_bytes: largest size of a file.
    """

    def __init__(self, app: ASGIApp, folder: Path, max_bytes: int) -> None:
        self.app = app
        self.folder = folder
        self.max_bytes = max_bytes

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"].rstrip("/") == ADDRESS:
            await (await self._answer(Request(scope, receive)))(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        """Paths of the files as JSON, or an error message in one sentence, in which case no file is kept."""
        form = _Form(self.folder, self.max_bytes)
        try:
            try:
                return JSONResponse([str(path) for path in await form.read(request)])
            except BaseException:  # also when the client or the server goes away
                form.discard()
                raise
        except TooLarge:
            return PlainTextResponse(f"The file exceeds the maximum allowed size of {self.max_bytes} bytes.", 413)
        except (FormParserError, ValueError) as error:
            return PlainTextResponse(f"The upload is not a complete multipart form: {error}.", 400)
        except OSError as error:
            return PlainTextResponse(f"The recording cannot be stored: {error.strerror or error}.", 507)


class _Form:
    """The files of one multipart form, written to disk as they arrive.

    Args:
        folder: existing folder; each file gets a folder of its own in it.
        max_bytes: largest size of a file.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder, self._max_bytes = folder, max_bytes
        self._folders: list[Path] = []
        self._paths: list[Path] = []
        self._file: BinaryIO | None = None
        self._left = 0
        self._header, self._value, self._disposition = b"", b"", b""
        self._ended = False

    async def read(self, request: Request) -> list[Path]:
        """Files in the order of the form.

        Raises:
            TooLarge, OSError: a file is too large, or cannot be written.
            ValueError: the request is not a form, or ends too early.
            ClientDisconnect: the client is gone.
        """
        kind, options = parse_options_header(request.headers.get("content-type"))
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise ValueError("expected Content-Type: multipart/form-data with a boundary")
        parser = MultipartParser(
            options[b"boundary"],
            {
                "on_part_begin": self._begin_part,
                "on_header_field": self._read_header,
                "on_header_value": self._read_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._begin_content,
                "on_part_data": self._read_content,
                "on_part_end": self._close,
                "on_end": self._end,
            },
        )
        async for piece in request.stream():
            parser.write(piece)
        if not self._ended:
            raise ValueError("its end is missing")
        return self._paths

    def discard(self) -> None:
        """Delete the files."""
        try:
            self._close()
        finally:
            for folder in self._folders:
                shutil.rmtree(folder, ignore_errors=True)

    def _begin_part(self) -> None:
        self._disposition = b""

    def _read_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _read_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header, self._value = b"", b""

    def _begin_content(self) -> None:
        name = parse_options_header(self._disposition)[1].get(b"filename")
        if name is not None:
            folder = Path(mkdtemp(dir=self._folder))
            self._folders.append(folder)
            self._paths.append(folder / file_name(name))
            self._file, self._left = self._paths[-1].open("xb", buffering=0), self._max_bytes

    def _read_content(self, data: bytes, start: int, end: int) -> None:
        if self._file is None:  # a field that is not a file
            return
        self._left -= end - start
        if self._left < 0:
            raise TooLarge
        rest = memoryview(data)[start:end]
        while rest:
            rest = rest[self._file.write(rest) :]

    def _close(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            file.close()

    def _end(self) -> None:
        self._ended = True


def file_name(given: bytes) -> str:
    """Turn a file name from a client into one that is safe to use and to print.

    Folders and characters that cannot be printed are left out. If it is too long, the end is kept, with the extension.
    """
    name = PurePosixPath(given.decode(errors="replace").replace("\\", "/")).name
    printable = "".join(character for character in name if character.isprintable())
    kept = printable.encode()[-LONGEST_NAME:].decode(errors="ignore")
    return kept if kept.strip(". ") else "recording"
