"""The page through its server, and what is left of it: nothing."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from recognition.bundles import Trained
from recognition.pages import GRADIO_S_OWN, contents, free_port, served
from speakerid.cli import run
from speakerid.errors import UserError
from speakerid.extras import install
from speakerid.recognition import serving as serving_module
from speakerid.recognition.page import Limits, Page
from speakerid.recognition.recognizer import Recognizer
from speakerid.recognition.serving import delete_older, is_loopback, serving

gradio_client = pytest.importorskip("gradio_client", reason="needs Gradio, the extra `serve`")
httpx = pytest.importorskip("httpx")


pytestmark = GRADIO_S_OWN


@pytest.fixture
def address(bundle: Path, temporary: Path) -> Iterator[str]:
    with served(bundle, Limits(megabytes=0.5)) as address:
        yield address
    assert not list(temporary.glob("speakerid-serve-*"))


def test_a_recording_is_answered_and_gone(trained: Trained, address: str, temporary: Path, tmp_path: Path) -> None:
    client = gradio_client.Client(address, verbose=False, download_files=tmp_path / "downloads")
    clips = trained.clips(trained.stranger)
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no sound")

    def identify(clip: Path) -> str:
        return client.predict(gradio_client.handle_file(clip), 50, api_name="/identify")[-1]

    assert "s of sound without pauses" in identify(clips[0])
    assert "cannot be decoded" in identify(broken)
    assert contents(temporary) == []
    files = [gradio_client.handle_file(clip) for clip in (*clips[:3], broken)]
    _, gathered, _ = client.predict(files, api_name="/gather")
    assert "3 recordings so far" in gathered
    assert "broken.wav is of no use" in gathered
    assert contents(temporary) == []
    assert "Zoe is enrolled from 3 recordings" in client.predict("Zoe", api_name="/enroll")[-1]
    assert "Zoe</span>" in identify(clips[0])
    assert "Zoe is forgotten" in client.predict("Zoe", api_name="/forget")
    assert "Zoe" not in identify(clips[0])


def test_a_recording_that_is_too_large_is_refused_by_the_server(address: str, temporary: Path) -> None:
    sent = httpx.post(f"{address}gradio_api/upload", files={"files": ("a.wav", bytes(600_000))})
    assert sent.status_code == 413
    assert contents(temporary) == []


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
    ):
        for path in ("", "/gradio_api/upload"):
            assert httpx.get(own + path, headers=headers).status_code == 403
            assert httpx.post(own + path, headers=headers, files={"files": b"x"}).status_code == 403


def test_who_closes_the_page_while_it_sends_something_leaves_a_file_that_gets_old(
    bundle: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(serving_module, "SWEEP_SECONDS", 0.05)
    monkeypatch.setattr(serving_module, "OLDEST", 0.5)
    with served(bundle, Limits()) as address:
        port = int(address.rstrip("/").rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port)) as browser:
            browser.sendall(
                b"POST /gradio_api/upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n"
                b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\nContent-Disposition: form-data; "
                b'name="files"; filename="a.wav"\r\n\r\n' + bytes(50_000)
            )
            while not contents(temporary):
                time.sleep(0.01)
        while contents(temporary):
            time.sleep(0.01)
    assert "Traceback" not in capfd.readouterr().err


def test_only_old_files_are_deleted(tmp_path: Path) -> None:
    for name in ("old/a.wav", "recent/a.wav", "old.tmp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"sound")
    for name in ("old/a.wav", "old.tmp"):
        os.utime(tmp_path / name, (0, 0))
    delete_older(tmp_path, 600)
    assert [path.name for path in contents(tmp_path)] == ["a.wav"]
    assert (tmp_path / "recent" / "a.wav").exists()


def test_a_port_that_is_taken(bundle: Path, temporary: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        page = Page(Recognizer.load(bundle), Limits())
        with pytest.raises(UserError, match=f"--port {port}: cannot be listened at"), serving(page, "127.0.0.1", port):
            pass


def test_without_gradio(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "speakerid.recognition.page_layout", raising=False)
    with pytest.raises(UserError, match=re.escape(install("serve"))):
        run(["serve", str(bundle)])


@pytest.mark.parametrize(
    ("host", "only_here"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("localhost", True), ("::1", True), ("[::1]", True),
     ("0.0.0.0", False), ("192.168.1.2", False), ("::", False), ("elsewhere.example", False), ("", False)],
)  # fmt: skip
def test_hosts_that_only_this_machine_reaches(host: str, only_here: bool) -> None:
    assert is_loopback(host) == only_here


@pytest.mark.parametrize(("host", "lines"), [("127.0.0.1", 0), ("0.0.0.0", 1)])
def test_a_page_for_everybody_is_warned_of(
    host: str, lines: int, bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(serving_module, "serving", interrupted)
    monkeypatch.setattr("signal.signal", lambda *arguments: None)
    assert run(["serve", str(bundle), "--host", host]) == 0
    warned = capsys.readouterr().err.splitlines()
    assert len(warned) == lines
    assert all("everybody in the network can enrol and forget" in line for line in warned)


@pytest.mark.parametrize(
    "option", [["--port", "0"], ["--port", "70000"], ["--max-seconds", "0"], ["--max-megabytes", "inf"]]
)
def test_impossible_options(option: list[str], bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(["serve", str(bundle), *option])
    assert option[0] in capsys.readouterr().err


LISTENING = """
import sys
from speakerid.cli import main

def hook(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        address = arguments[1] if event == "socket.connect" else arguments[0]
        print("ASKED", address[0] if isinstance(address, tuple) else address, file=sys.stderr, flush=True)

sys.addaudithook(hook)
main("serve")
"""


def test_the_command_asks_nobody_and_leaves_nothing(trained: Trained, bundle: Path, temporary: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(temporary), "http_proxy": "http://proxy.example:1"}
    command = [sys.executable, "-c", LISTENING, str(bundle), "--port", str(free_port())]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        count, address = process.stdout.readline().split(" speakers: ")
        address = address.split()[0]
        client = gradio_client.Client(address, verbose=False)
        clip = gradio_client.handle_file(trained.clips(trained.stranger)[0])
        assert "s of sound" in client.predict(clip, 1, api_name="/identify")[-1]
        httpx.post(f"{address}gradio_api/upload", files={"files": ("never asked about.wav", bytes(1000))})
        assert contents(temporary)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert count == "6"
    asked = {line.split()[1] for line in errors.splitlines() if line.startswith("ASKED")}
    assert asked <= {"127.0.0.1", "localhost"}
    assert [line for line in errors.splitlines() if not line.startswith("ASKED")] == []
    assert list(temporary.iterdir()) == []
