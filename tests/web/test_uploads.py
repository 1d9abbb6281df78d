"""Uploads as a browser sends them, without a server."""

import asyncio
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

httpx = pytest.importorskip("httpx", reason="needs Gradio, the extra `serve`")
uploads = pytest.importorskip("speakerid.web.uploads", reason="needs Gradio, the extra `serve`")

MAX_BYTES = 1000


async def behind(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The wrapped application."""
    await send({"type": "http.response.start", "status": 418, "headers": []})
    await send({"type": "http.response.body", "body": b"behind"})


def post(folder: Path, method: str = "POST", path: str = uploads.ADDRESS, **content: Any) -> Any:
    """Send one request."""

    async def ask() -> Any:
        transport = httpx.ASGITransport(uploads.Uploads(behind, folder, MAX_BYTES))
        async with httpx.AsyncClient(transport=transport, base_url="http://page") as client:
            return await client.request(method, path, **content)

    return asyncio.run(ask())


def multipart(*parts: tuple[bytes, bytes], end: bytes = b"--b--\r\n") -> bytes:
    """Multipart form of parts, each a disposition and a content."""
    return b"".join(b"--b\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n" % part for part in parts) + end


FORM = {"content-type": "multipart/form-data; boundary=b"}


def test_every_file_has_a_folder_of_its_own(tmp_path: Path) -> None:
    files = [("files", ("a.wav", b"one")), ("files", ("a.wav", b"one")), ("files", ("b.wav", b""))]
    answers = [post(tmp_path, files=files) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    paths = [Path(path) for answer in answers for path in answer.json()]
    assert len(set(paths)) == len({path.parent for path in paths}) == 6
    assert [(path.name, path.read_bytes()) for path in paths] == 2 * [file for _, file in files]
    assert all(path.is_relative_to(tmp_path) for path in paths)
    assert all(path.parent.stat().st_mode & 0o077 == 0 for path in paths)


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=60)), max_size=4), st.integers(1, 40))
def test_a_form_is_read_in_any_pieces(
    tmp_path_factory: pytest.TempPathFactory, parts: list[tuple[bool, bytes]], size: int
) -> None:
    contents = [(is_file, content.replace(b"--b", b"-- b")) for is_file, content in parts]
    body = multipart(*((b'name="files"; filename="a.wav"' if f else b'name="x"', content) for f, content in contents))

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), size):
            yield body[start : start + size]

    folder = tmp_path_factory.mktemp("uploads")
    answer = post(folder, content=pieces(), headers=FORM)
    assert answer.status_code == 200
    assert [Path(path).read_bytes() for path in answer.json()] == [content for is_file, content in contents if is_file]
    assert len(list(folder.iterdir())) == len(answer.json())


FILE = (b'name="files"; filename="a.wav"', b"content")


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (413, {"files": [("files", ("a.wav", b"small")), ("files", ("b.wav", bytes(MAX_BYTES + 1)))]}),
        (400, {"content": multipart(FILE, end=b""), "headers": FORM}),
        (400, {"content": multipart(FILE)[:-20], "headers": FORM}),
        (400, {"content": b"", "headers": FORM}),
        (400, {"content": b"no form", "headers": FORM}),
        (400, {"content": multipart(FILE), "headers": {"content-type": "multipart/form-data"}}),
        (400, {"content": multipart(FILE), "headers": {"content-type": "multipart/form-data; boundary=" + 999 * "b"}}),
        (400, {"content": multipart(FILE), "headers": {"content-type": "text/plain"}}),
        (400, {"content": multipart(FILE)}),
        (400, {"json": ["a.wav"]}),
        (400, {"content": b"--b\r\n" + b"A" * 100_000 + b": x\r\n\r\n", "headers": FORM}),
    ],
)
def test_a_form_that_is_refused_leaves_nothing(status: int, content: dict[str, Any], tmp_path: Path) -> None:
    answer = post(tmp_path, **content)
    assert (answer.status_code, answer.text.count("\n"), answer.text[-1]) == (status, 0, ".")
    assert list(tmp_path.iterdir()) == []


def test_the_largest_file_is_taken(tmp_path: Path) -> None:
    (path,) = post(tmp_path, files={"files": ("a.wav", bytes(MAX_BYTES))}).json()
    assert Path(path).stat().st_size == MAX_BYTES


def test_other_requests_are_passed_on(tmp_path: Path) -> None:
    for method, path in (("GET", uploads.ADDRESS), ("POST", "/"), ("POST", uploads.ADDRESS + "_progress")):
        assert post(tmp_path, method, path).text == "behind"


@contextmanager
def full_disk(after: int) -> Iterator[None]:
    """Limit the size of every file."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (after, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_an_upload_that_cannot_be_stored_leaves_no_piece(tmp_path: Path) -> None:
    files = [("files", ("a.wav", b"small")), ("files", ("b.wav", bytes(900)))]
    with full_disk(600):
        answer = post(tmp_path, files=files)
    assert answer.status_code == 507
    assert answer.text == "The recording cannot be stored: File too large."
    assert list(tmp_path.iterdir()) == []
    assert post(tmp_path, files=files).status_code == 200


def test_a_folder_that_is_gone_is_said(tmp_path: Path) -> None:
    answer = post(tmp_path / "gone", files={"files": ("a.wav", b"sound")})
    assert (answer.status_code, answer.text) == (507, "The recording cannot be stored: No such file or directory.")


def test_a_client_that_goes_away_leaves_nothing(tmp_path: Path) -> None:
    from starlette.requests import ClientDisconnect

    messages = iter([
        {"type": "http.request", "body": multipart(FILE, FILE, end=b"")[:-4], "more_body": True},
        {"type": "http.disconnect"},
    ])  # fmt: skip
    seen: list[int] = []

    async def receive() -> dict[str, Any]:
        seen.append(len(list(tmp_path.iterdir())))
        return next(messages)

    async def send(message: Any) -> None:
        raise AssertionError(message)

    scope = {"type": "http", "method": "POST", "path": uploads.ADDRESS, "headers": [
        (key.encode(), value.encode()) for key, value in FORM.items()
    ]}  # fmt: skip
    with pytest.raises(ClientDisconnect):
        asyncio.run(uploads.Uploads(behind, tmp_path, MAX_BYTES)(scope, receive, send))
    assert seen == [0, 2]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given_name", "expected"),
    [
        (b"a.wav", "a.wav"), (b"../../etc/a.wav", "a.wav"), (b"C:\\sounds\\a.wav", "a.wav"), (b"", "recording"),
        (b".", "recording"), (b"..", "recording"), (b"a/..", "recording"), (b"/", "recording"), (b"\0\n.wav", ".wav"),
        ("Zoë \U0001f600.m4a".encode(), "Zoë \U0001f600.m4a"), (b"\xff.wav", "\ufffd.wav"),
        (b"a\x1b[2J.wav", "a[2J.wav"), (b"<b>.wav", "<b>.wav"),
    ],
)  # fmt: skip
def test_names_of_files(given_name: bytes, expected: str) -> None:
    assert uploads.file_name(given_name) == expected


@given(st.one_of(st.binary(max_size=400), st.text(max_size=300).map(lambda text: text.encode(errors="replace"))))
def test_any_name_of_a_file_is_safe(given_name: bytes) -> None:
    name = uploads.file_name(given_name)
    assert name.isprintable()
    assert "/" not in name
    assert name not in (".", "..")
    assert 0 < len(name.encode()) <= uploads.LONGEST_NAME
