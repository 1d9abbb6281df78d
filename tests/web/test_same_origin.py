"""Requests that the server of a page accepts."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from speakerid.web.page import Limits
from web.pages import GRADIO_S_OWN, port_of, served

httpx = pytest.importorskip("httpx", reason="needs Gradio, the extra `serve`")
pytest.importorskip("gradio", reason="needs Gradio, the extra `serve`")

pytestmark = GRADIO_S_OWN


@pytest.fixture
def address(bundle: Path, temporary: Path) -> Iterator[str]:
    with served(bundle, Limits()) as address:
        yield address


def test_other_sites_are_not_answered(address: str) -> None:
    own = address.rstrip("/")
    port = own.rsplit(":", 1)[1]
    assert httpx.get(own, headers={"origin": own}).status_code == 200
    assert httpx.get(own, headers={"host": f"localhost:{port}"}).status_code == 200
    for headers in (
        {"origin": "http://elsewhere.example"},
        {"origin": "http://127.0.0.1:1"},
        {"origin": "null"},
        {"host": f"elsewhere.example:{port}"},
        {"host": f"elsewhere.example:{port}", "origin": f"http://elsewhere.example:{port}"},
        {"host": f"127.0.0.1.elsewhere.example:{port}"},
        {"host": f"127.0.0.1:{port}@elsewhere.example"},
        {"host": f"elsewhere.example@127.0.0.1:{port}"},
        {"origin": f"{own}@elsewhere.example"},
        {"origin": f"{own}.elsewhere.example"},
        {"origin": f"file://127.0.0.1:{port}"},
    ):
        for path in ("", "/gradio_api/upload"):
            assert httpx.get(own + path, headers=headers).status_code == 403
            assert httpx.post(own + path, headers=headers, files={"files": b"x"}).status_code == 403


MALFORMED = [
    b"[", b"[::1", b"]", b"[]", b"[::1]]", b"[v1.x]", b"127.0.0.1:", b"127.0.0.1:x", b"127.0.0.1:999999", b"",
    b"127.0.0.1:1:2", b"127.0.0.1, 127.0.0.1", b"127.0.0.1/x", b"//127.0.0.1", b"http://127.0.0.1",
    b"127.0.0.1\xe2\x84\x80", b"\xff\xfe", b"b\xc3\xbccher.example", b"127.0.0.1 x", b"a" * 5000,
    b"127.0.0.1%00", b"localhost\x01",
]  # fmt: skip


def status_of(address: str, *headers: bytes, target: bytes = b"/") -> int:
    """Status of the response to a request with exactly these headers."""
    with socket.create_connection(("127.0.0.1", port_of(address))) as browser:
        browser.sendall(b"\r\n".join([b"GET %s HTTP/1.1" % target, *headers, b"Connection: close", b"", b""]))
        return int(browser.makefile("rb").readline().split()[1])


def test_malformed_headers_are_refused(address: str) -> None:
    port = b"%d" % port_of(address)
    for value in MALFORMED:
        assert status_of(address, b"Host: " + value) in (400, 403), value
        for origin in (value, b"https://" + value) if value != b"http://127.0.0.1" else ():
            assert status_of(address, b"Host: 127.0.0.1", b"Origin: " + origin) in (400, 403), origin
    assert status_of(address) in (400, 403)
    assert status_of(address, b"Host: 127.0.0.1", b"Host: elsewhere.example") in (400, 403)
    assert status_of(address, b"Host: 127.0.0.1", b"Origin: http://127.0.0.1", b"Origin: null") in (400, 403)
    for host in (b"127.0.0.1", b"[::1]", b"[0:0:0:0:0:0:0:1]", b"LOCALHOST", b"127.9.9.9"):
        for own in (host, host + b":" + port):
            assert status_of(address, b"Host: " + own) == 200, own
            assert status_of(address, b"Host: " + own, b"Origin: http://" + own) == 200, own
    assert status_of(address, b"Host: elsewhere.example", target=b"http://127.0.0.1/") in (400, 403)
