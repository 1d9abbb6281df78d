"""Public corpora from a local server with archives like the real ones."""

import hashlib
import io
import os
import shutil
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch.hub

from oracles import import_torchaudio
from speakerid.base.errors import UserError
from speakerid.preparation.download import SOURCES, download
from speakerid.preparation.sources.layouts import scan

ARCTIC = "cmu_us_{}_arctic.tar.bz2"
VCTK = "VCTK-Corpus-0.92.zip"


def tar(kind: str, *names: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{kind}") as archive:  # type: ignore[call-overload]
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.size = 3000
            archive.addfile(entry, io.BytesIO(os.urandom(3000)))
    return buffer.getvalue()


def packed(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, os.urandom(3000))
    return buffer.getvalue()


def files() -> dict[str, bytes]:
    """Files on the servers of the four corpora, by the last part of the URL."""
    held = {
        f"{part}.tar.gz": tar(
            "gz", *(f"LibriSpeech/{part}/{s}/7/{s}-7-000{n}.flac" for s in (84, 174) for n in range(2)),
            f"LibriSpeech/{part}/84/7/84-7.trans.txt", "LibriSpeech/SPEAKERS.TXT",
        )
        for part in ("dev-clean", "test-clean")
    }  # fmt: skip
    for part in SOURCES["cmuarctic"].parts:
        folder = f"cmu_us_{part}_arctic"
        held[f"{folder}.tar.bz2"] = tar("bz2", f"{folder}/wav/arctic_a0001.wav", f"{folder}/wav/arctic_b0001.wav")
        held[f"{folder}.tar.bz2"] = with_text(held[f"{folder}.tar.bz2"], f"{folder}/etc/txt.done.data")
    held[VCTK] = packed(
        *(f"wav48_silence_trimmed/{s}/{s}_001_mic{mic}.flac" for s in ("p225", "p226") for mic in (1, 2)),
        "txt/p225/p225_001.txt", "txt/p226/p226_001.txt",
    )  # fmt: skip
    development = packed("wav/id10001/1zcIwhmdeo4/00001.wav", "wav/id10002/QanuGhOhb9A/00001.wav")
    quarter = len(development) // 4 + 1
    for index, letter in enumerate("abcd"):
        held[f"vox1_dev_wav_parta{letter}"] = development[index * quarter : (index + 1) * quarter]
    held["vox1_test_wav.zip"] = packed("wav/id10270/5r0dWxy17C8/00001.wav")
    held["iden_split.txt"] = b"1 id10001/1zcIwhmdeo4/00001.wav\n3 id10270/5r0dWxy17C8/00001.wav\n"
    return held


def with_text(archive: bytes, name: str) -> bytes:
    """Add a text file of CMU Arctic's prompts to the archive."""
    text = b'( arctic_a0001 "Author of the danger trail." )\n'
    buffer = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(archive)) as old, tarfile.open(fileobj=buffer, mode="w:bz2") as new:
        for member in old:
            new.addfile(member, old.extractfile(member))
        entry = tarfile.TarInfo(name)
        entry.size = len(text)
        new.addfile(entry, io.BytesIO(text))
    return buffer.getvalue()


HELD = files()


class Server:
    """Serves `HELD`; files in `faults` are truncated, changed, or answered by a status."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.faults: dict[str, str | int] = {}


class Handler(BaseHTTPRequestHandler):
    served: Server

    def do_GET(self) -> None:
        name = self.path.rsplit("/", 1)[-1]
        self.served.asked.append(name)
        fault = self.served.faults.get(name)
        if isinstance(fault, int) or name not in HELD:
            self.send_error(fault if isinstance(fault, int) else 404)
            return
        content = HELD[name]
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if fault == "cut short":
            content = content[: len(content) // 2]
        elif fault == "other bytes":
            content = bytes(len(content))
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Redirect torchaudio to this server, and replace its checksums by those of the local files."""
    served = Server()
    handler = type("Bound", (Handler,), {"served": served})
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
    thread.start()
    redirect(monkeypatch, httpd.server_port)
    yield served
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def redirect(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    fetch = torch.hub.download_url_to_file

    def local(url: str, dst: str, hash_prefix: str | None = None) -> None:
        name = os.path.basename(url)
        assert any(source.host in url for source in SOURCES.values()) or name == "iden_split.txt"
        assert hash_prefix or name == "iden_split.txt", f"{url} has no checksum"
        checksum = hashlib.sha256(HELD[name]).hexdigest() if hash_prefix else None
        fetch(f"http://127.0.0.1:{port}/{name}", dst, checksum, progress=False)

    monkeypatch.setenv("no_proxy", "*")
    for module in ("librispeech", "vctk", "cmuarctic", "voxceleb1"):
        monkeypatch.setattr(import_torchaudio(f"torchaudio.datasets.{module}"), "download_url_to_file", local)


@pytest.mark.parametrize(
    ("what", "layout", "speakers", "recordings"),
    [
        ("librispeech:dev-clean", "librispeech", {"84", "174"}, 4),
        ("librispeech:test-clean,dev-clean", "librispeech", {"84", "174"}, 8),
        ("vctk", "vctk", {"p225", "p226"}, 2),
        ("cmuarctic:slt,awb", "cmuarctic", {"awb", "slt"}, 4),
        ("cmuarctic", "cmuarctic", set(SOURCES["cmuarctic"].parts), 36),
        ("voxceleb1", "voxceleb", {"id10001", "id10002", "id10270"}, 3),
    ],
)
def test_a_corpus_is_downloaded_once_and_can_be_scanned(
    server: Server, tmp_path: Path, what: str, layout: str, speakers: set[str], recordings: int
) -> None:
    folder = download(what, tmp_path / "corpora")
    if what == "librispeech:test-clean,dev-clean":  # subsets with the same utterances would count once
        (folder / "LibriSpeech/test-clean").rename(folder / "LibriSpeech/other")
        for path in list((folder / "LibriSpeech/other").rglob("*.flac")):
            chapter = path.parent.parent / "8"
            chapter.mkdir(exist_ok=True)
            path.rename(chapter / path.name.replace("-7-", "-8-"))
    found = scan(folder)
    assert (found.layout, len(found.recordings)) == (layout, recordings)
    assert {recording.speaker for recording in found.recordings} == speakers
    assert all(recording.path.stat().st_size == 3000 for recording in found.recordings)
    assert [path.name for path in (tmp_path / "corpora").iterdir()] == [folder.name]
    assert not [path for path in folder.iterdir() if path.is_file()], "archives are left"
    asked = list(server.asked)
    assert download(what, tmp_path / "corpora") == folder
    assert server.asked == asked


def test_the_order_of_parts_does_not_matter(server: Server, tmp_path: Path) -> None:
    assert download("cmuarctic:slt,awb", tmp_path) == download("cmuarctic:awb,slt,slt", tmp_path)
    assert download("cmuarctic:slt", tmp_path) != download("cmuarctic:awb", tmp_path)


@pytest.mark.parametrize("fault", ["cut short", "other bytes", 503])
def test_after_a_fault_the_rest_is_downloaded(server: Server, tmp_path: Path, fault: str | int) -> None:
    server.faults[ARCTIC.format("slt")] = fault
    for _ in range(2):
        with pytest.raises(UserError, match=r"^cmuarctic:awb,slt: .*festvox\.org .*by hand from http://festvox"):
            download("cmuarctic:awb,slt", tmp_path)
        assert [path for path in tmp_path.iterdir() if not path.name.startswith(".")] == []
    server.faults.clear()
    assert len(scan(download("cmuarctic:awb,slt", tmp_path)).recordings) == 4
    assert server.asked.count(ARCTIC.format("awb")) == 1
    assert server.asked.count(ARCTIC.format("slt")) == 3


@pytest.mark.parametrize(
    ("what", "module", "unpack"),
    [
        ("librispeech:dev-clean", "librispeech", "_extract_tar"),
        ("vctk", "vctk", "_extract_zip"),
        ("cmuarctic:awb", "cmuarctic", "_extract_tar"),
        ("voxceleb1", "voxceleb1", "_extract_zip"),
    ],
)
def test_a_partially_unpacked_corpus_is_not_accepted(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, module: str, unpack: str
) -> None:
    whole = download(what, tmp_path / "whole")
    torchaudio_module = import_torchaudio(f"torchaudio.datasets.{module}")
    extract = getattr(torchaudio_module, unpack)

    def interrupted(*arguments: str) -> None:
        extract(*arguments)
        victims = sorted(path for path in tmp_path.glob("half/.*/**/*") if path.suffix in (".wav", ".flac"))
        victims[0].write_bytes(b"half")
        for path in victims[1:]:
            path.unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(torchaudio_module, unpack, interrupted)
        with pytest.raises(KeyboardInterrupt):
            download(what, tmp_path / "half")
    again = download(what, tmp_path / "half")
    assert {path.relative_to(again): path.is_dir() or path.read_bytes() for path in again.rglob("*")} == {
        path.relative_to(whole): path.is_dir() or path.read_bytes() for path in whole.rglob("*")
    }
    assert [path.name for path in (tmp_path / "half").iterdir()] == [again.name]


def test_leftovers_of_a_killed_download_are_removed(server: Server, tmp_path: Path) -> None:
    left = tmp_path / ".vctk.partial" / f"{VCTK}.0123.partial"
    left.parent.mkdir()
    left.write_bytes(bytes(100))
    assert not list(download("vctk", tmp_path).rglob("*.partial"))


@pytest.mark.parametrize("content", [b"", b"no archive", HELD[VCTK][:-100], HELD[VCTK][:500] + bytes(2000)])
def test_a_damaged_archive_is_downloaded_again(server: Server, tmp_path: Path, content: bytes) -> None:
    (tmp_path / ".vctk.partial").mkdir()
    (tmp_path / ".vctk.partial" / VCTK).write_bytes(content)
    with pytest.raises(UserError, match=r"^vctk: the download from datashare\.is\.ed\.ac\.uk is damaged; try again"):
        download("vctk", tmp_path)
    assert len(scan(download("vctk", tmp_path)).recordings) == 2


@pytest.mark.parametrize("share", [0, 0.001, 0.1, 0.5])
def test_a_damaged_tar_archive_is_downloaded_again(server: Server, tmp_path: Path, share: float) -> None:
    for what, name in (("cmuarctic:awb", ARCTIC.format("awb")), ("librispeech:dev-clean", "dev-clean.tar.gz")):
        partial = tmp_path / f".{what.replace(':', '-')}.partial"
        partial.mkdir()
        (partial / name).write_bytes(HELD[name][: int(share * len(HELD[name]))])
        with pytest.raises(UserError, match=f"^{what}: the download from .* is damaged; try again"):
            download(what, tmp_path)
        assert scan(download(what, tmp_path)).recordings


@pytest.mark.parametrize("what", ["librispeech:dev-clean", "vctk", "cmuarctic:awb", "voxceleb1"])
def test_without_a_network_the_error_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    redirect(monkeypatch, 1)  # no server listens here
    with pytest.raises(UserError) as error:
        download(what, tmp_path)
    source = SOURCES[what.partition(":")[0]]
    line = str(error.value)
    assert line.startswith(f"{what}: cannot reach {source.host}: ")
    assert f"download it by hand from {source.page}, unpack it, and prepare that folder" in line
    assert "\n" not in line


def test_the_status_of_a_server_is_reported(server: Server, tmp_path: Path) -> None:
    server.faults["vox1_dev_wav_partaa"] = 401
    with pytest.raises(
        UserError, match=r"^voxceleb1: thor\.robots\.ox\.ac\.uk answers 401 Unauthorized; download it by"
    ):
        download("voxceleb1", tmp_path)


def test_a_folder_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=f"^vctk: {tmp_path}/file.*: Not a directory; fix this and try again$"):
        download("vctk", tmp_path / "file")


def test_a_full_disk_is_not_reported_as_a_network_error(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **settings: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "move", full)  # torch moves a finished download with it
    with pytest.raises(UserError, match=r"^vctk: .*\.vctk\.partial: No space left on device; fix this and try again$"):
        download("vctk", tmp_path)


@pytest.mark.parametrize("error", [ImportError("No module named 'torchaudio'"), OSError("libc10_cuda.so: not found")])
def test_without_torchaudio_the_error_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(name: str) -> None:
        raise error

    monkeypatch.setattr("speakerid.preparation.download.importlib.import_module", refuse)
    expected = (
        rf"^vctk: torchaudio cannot be imported \({error}\); install the build of torchaudio that belongs to the "
        "installed torch, or download it by hand from https://"
    )
    with pytest.raises(UserError, match=expected):
        download("vctk", tmp_path)


def test_other_errors_are_not_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object, **settings: object) -> None:
        raise RuntimeError("a fault of the program")

    monkeypatch.setattr(import_torchaudio("torchaudio.datasets.vctk"), "download_url_to_file", broken)
    with pytest.raises(RuntimeError, match="a fault of the program"):
        download("vctk", tmp_path)


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        (
            "libri",
            r"unknown corpus 'libri'; expected one such as librispeech:dev-clean, vctk, cmuarctic:aew, voxceleb1",
        ),
        ("", "unknown corpus ''"),
        ("librispeech", "found no part; expected one or more of dev-clean, .*, as in librispeech:dev-clean"),
        ("librispeech:", "found no part; expected one or more of dev-clean"),
        ("librispeech:dev", "found dev; expected one or more of dev-clean, dev-other, test-clean"),
        ("librispeech:dev-clean,../x", r"found \.\./x, dev-clean; expected"),
        ("vctk:p225", "found p225; expected 'vctk' alone"),
        ("cmuarctic:me", "found me; expected one or more of aew, ahw"),
    ],
)
def test_unknown_corpora_are_refused_with_the_known_ones(tmp_path: Path, what: str, reason: str) -> None:
    with pytest.raises(UserError, match=f"^download '{what}': {reason}"):
        download(what, tmp_path / "corpora")
    assert not (tmp_path / "corpora").exists()


def test_parts_are_those_that_torchaudio_knows() -> None:
    librispeech = import_torchaudio("torchaudio.datasets.librispeech")
    cmuarctic = import_torchaudio("torchaudio.datasets.cmuarctic")
    assert list(SOURCES["librispeech"].parts) == librispeech._DATA_SUBSETS
    known = [address.rsplit("/", 1)[-1] for address in cmuarctic._CHECKSUMS]
    assert [ARCTIC.format(part) for part in SOURCES["cmuarctic"].parts] == known
