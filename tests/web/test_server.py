"""The page through its server, which leaves no files behind."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from recognition.bundles import Trained
from speakerid.base.errors import UserError
from speakerid.base.extras import install
from speakerid.cli import run
from speakerid.recognition.recognizer import Recognizer
from speakerid.web import server as serving_module
from speakerid.web.hosts import is_loopback
from speakerid.web.page import Limits, Page
from speakerid.web.server import delete_older, serving
from web.pages import GRADIO_S_OWN, contents, free_port, port_of, served

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
    assert "broken.wav cannot be used" in gathered
    assert contents(temporary) == []
    assert "Zoe is enrolled from 3 recordings" in client.predict("Zoe", api_name="/enroll")[-1]
    assert "Zoe</span>" in identify(clips[0])
    assert "Zoe is forgotten" in client.predict("Zoe", api_name="/forget")
    assert "Zoe" not in identify(clips[0])


def send_all(address: str, clip: Path) -> tuple[int, str]:
    """Send a recording, ask about it and wait, as a browser does. Status of the upload, and the answer."""
    with httpx.Client(base_url=f"{address}gradio_api/", timeout=60) as client:
        sent = client.post("upload", files={"files": (clip.name, clip.read_bytes())})
        return sent.status_code, ask(client, "identify", file_data(sent.json()[0]), 50)


def file_data(path: str) -> dict[str, Any]:
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def ask(client: Any, name: str, *data: Any, session: str | None = None) -> str:
    """Last text of an answer of Gradio's HTTP interface."""
    body = {"data": data, **({"session_hash": session} if session else {})}
    event = client.post(f"call/{name}", json=body).json()["event_id"]
    event, answer = client.get(f"call/{name}/{event}").text.strip().split("\n")[-2:]
    assert event == "event: complete", answer
    return json.loads(answer.removeprefix("data: "))[-1]


def test_many_clients_send_the_same_recording_at_once(trained: Trained, address: str, temporary: Path) -> None:
    clip = trained.clips(trained.stranger)[0]
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: send_all(address, clip), range(20)))
    assert {status for status, _ in answers} == {200}
    (answer,) = {text for _, text in answers}
    assert "s of sound without pauses" in answer
    assert contents(temporary) == []


def test_what_any_client_sends_gets_a_sentence(
    trained: Trained, bundle: Path, temporary: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    clip = trained.clips(trained.stranger)[0].read_bytes()
    with served(bundle, Limits()) as address, httpx.Client(base_url=f"{address}gradio_api/", timeout=60) as client:

        def sent(content: bytes) -> dict[str, Any]:
            return file_data(client.post("upload", files={"files": ("a.wav", content)}).json()[0])

        assert "cannot be decoded" in ask(client, "identify", sent(b""), 1)
        for percent in ("1", None, [1], 0, 1e9):
            assert "false accepts: found" in ask(client, "identify", sent(clip), percent)
        recording = sent(clip)
        assert "s of sound" in ask(client, "identify", recording, 1)
        assert "No such file" in ask(client, "identify", recording, 1)
        assert ask(client, "identify", None, 1) == ""
        before = bundle.read_bytes()
        for file in (file_data(str(bundle)), {"path": str(bundle)}, file_data(f"{temporary}/../{bundle.name}")):
            event = client.post("call/identify", json={"data": [file, 1]}).json()["event_id"]
            assert client.get(f"call/identify/{event}").text.startswith("event: error")
        capfd.readouterr()  # Gradio prints a traceback of these
        ask(client, "gather", [sent(clip)], session="one")
        for name in (5, 1.5, True, None, ["Zoe"], {"a": 1}, "", "a\nb", "a" * 101):
            assert "Not enrolled: name: found" in ask(client, "enroll", name, session="one")
            assert "Not forgotten: " in ask(client, "forget", name)
        assert bundle.read_bytes() == before
    assert "Traceback" not in capfd.readouterr().err
    assert contents(temporary) == []


def test_two_pages_on_one_bundle_enroll_at_once_and_see_each_other(
    trained: Trained, bundle: Path, address: str, tmp_path: Path
) -> None:
    clip = trained.clips(trained.stranger)[0]
    other = Page(Recognizer.load(bundle), Limits())
    voices, _ = other.gather([Path(shutil.copy(clip, tmp_path))], [])

    def enroll(name: str) -> str:
        if name.endswith("other"):
            return other.enroll(name, voices)[1]
        with httpx.Client(base_url=f"{address}gradio_api/", timeout=60) as client:
            (path,) = client.post("upload", files={"files": (clip.name, clip.read_bytes())}).json()
            ask(client, "gather", [file_data(path)], session=name)
            return ask(client, "enroll", name, session=name)

    names = [f"guest {number} of {page}" for number in range(4) for page in ("one", "other")]
    with ThreadPoolExecutor(len(names)) as pool:
        said = list(pool.map(enroll, names))
    for text, name in zip(said, names, strict=True):
        assert text.startswith(f"<p>{name} is enrolled from 1 recording.</p>")
    assert set(names) < set(Recognizer.load(bundle).speakers)
    Recognizer.load(bundle).forget(names[0])
    with httpx.Client(base_url=f"{address}gradio_api/", timeout=60) as client:
        event = client.post("call/speakers", json={"data": []}).json()["event_id"]
        listed = client.get(f"call/speakers/{event}").text
    for text in (listed, other.speakers()[1]):
        assert [name for name in names if name not in text] == [names[0]]


def test_a_recording_that_is_too_large_is_refused_by_the_server(address: str, temporary: Path) -> None:
    sent = httpx.post(f"{address}gradio_api/upload", files={"files": ("a.wav", bytes(600_000))})
    assert sent.status_code == 413
    assert contents(temporary) == []


def begin_upload(address: str) -> socket.socket:
    """Send half of a recording, as a browser does."""
    browser = socket.create_connection(("127.0.0.1", port_of(address)))
    browser.sendall(
        b"POST /gradio_api/upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n"
        b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\nContent-Disposition: form-data; "
        b'name="files"; filename="a.wav"\r\n\r\n' + bytes(50_000)
    )
    return browser


def test_who_closes_the_page_while_it_sends_something_leaves_nothing(
    bundle: Path, temporary: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with served(bundle, Limits()) as address:
        with begin_upload(address):
            while not contents(temporary):
                time.sleep(0.01)
        while contents(temporary):
            time.sleep(0.01)
    assert "Traceback" not in capfd.readouterr().err


def test_what_is_sent_and_never_asked_about_gets_old(
    bundle: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving_module, "SWEEP_SECONDS", 0.05)
    monkeypatch.setattr(serving_module, "OLDEST", 0.5)
    with served(bundle, Limits()) as address:
        (path,) = httpx.post(f"{address}gradio_api/upload", files={"files": ("a.wav", bytes(1000))}).json()
        while Path(path).parent.exists():
            time.sleep(0.01)
        assert httpx.get(address).status_code == 200


def test_only_old_files_are_deleted(tmp_path: Path) -> None:
    for name in ("old/a.wav", "recent/a.wav", "old.tmp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"sound")
    for name in ("old/a.wav", "old.tmp"):
        os.utime(tmp_path / name, (0, 0))
    delete_older(tmp_path, 600)
    os.utime(tmp_path / "old", (0, 0))
    delete_older(tmp_path, 600)
    assert [path.name for path in contents(tmp_path)] == ["a.wav"]
    assert (tmp_path / "recent" / "a.wav").exists()
    (tmp_path / "recent" / "a.wav").unlink()
    os.utime(tmp_path / "recent", (0, 0))
    delete_older(tmp_path, 600)
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_is_taken(bundle: Path, temporary: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        page = Page(Recognizer.load(bundle), Limits())
        with pytest.raises(UserError, match=f"--port {port}: cannot listen on"), serving(page, "127.0.0.1", port):
            pass


def test_without_gradio(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "speakerid.web.layout", raising=False)
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
def test_a_page_open_to_the_network_is_warned_about(
    host: str, lines: int, bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(serving_module, "serving", interrupted)
    monkeypatch.setattr("signal.signal", lambda *arguments: None)
    assert run(["serve", str(bundle), "--host", host]) == 0
    warned = capsys.readouterr().err.splitlines()
    assert len(warned) == lines
    assert all("anyone in the network can enroll and forget" in line for line in warned)


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
        with begin_upload(address):
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert count == "6"
    asked = {line.split()[1] for line in errors.splitlines() if line.startswith("ASKED")}
    assert asked <= {"127.0.0.1", "localhost"}
    assert [line for line in errors.splitlines() if not line.startswith("ASKED")] == []
    assert list(temporary.iterdir()) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from speakerid.web.page import Limits, Page
from speakerid.recognition.recognizer import Recognizer
from speakerid.web.server import serving

with serving(Page(Recognizer.load(sys.argv[1]), Limits()), "127.0.0.1", int(sys.argv[2])):
    Path(os.environ["GRADIO_TEMP_DIR"], "recording.wav").write_bytes(b"sound")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_next_server_deletes_what_a_killed_one_left_and_nothing_else(bundle: Path, temporary: Path) -> None:
    kept = [temporary / "speakerid-serve-of-another", temporary / "elsewhere"]
    for folder in kept:
        folder.mkdir()
    (temporary / "speakerid-serve-link").symlink_to(temporary / "elsewhere")
    (temporary / "elsewhere" / "server.lock").touch()
    environment = {**os.environ, "TMPDIR": str(temporary)}
    command = [sys.executable, "-c", KILLED, str(bundle), str(free_port())]
    assert subprocess.run(command, env=environment, capture_output=True).returncode == -signal.SIGKILL
    (left,) = [path.parents[1] for path in temporary.glob("*/recordings/recording.wav")]
    with served(bundle, Limits()) as first:
        assert not left.exists()
        httpx.post(f"{first}gradio_api/upload", files={"files": ("a.wav", b"sound")})
        with served(bundle, Limits()):
            assert len(contents(temporary)) == 1
    assert sorted(path.name for path in temporary.iterdir()) == [
        "elsewhere", "speakerid-serve-link", "speakerid-serve-of-another"
    ]  # fmt: skip
    assert (temporary / "elsewhere" / "server.lock").exists()
