"""The folder of a page: its files, its speakers, and what is left of one who was forgotten."""

import base64
import io
import json
import os
import re
import shutil
import stat
import tarfile
from pathlib import Path

import pytest

from recognition.bundles import Trained
from speakerid.base.errors import UserError
from speakerid.cli import run
from speakerid.deployment.web_page import PROFILES, RUNTIME, export_page, read_page

LIBRARY = {name: f"/* {name} */".encode() for name in RUNTIME}


def npm_package(path: Path) -> Path:
    """An archive like those of `npm pack`, with the two files that the page needs."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in LIBRARY.items():
            member = tarfile.TarInfo(f"package/dist/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture(scope="module")
def exported(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    assert export_page(trained.bundle, folder / "page", npm_package(folder / "library.tgz")) < 1e-4
    return folder / "page"


@pytest.fixture
def page(exported: Path, tmp_path: Path) -> Path:
    """A copy, to be changed."""
    return Path(shutil.copytree(exported, tmp_path / "page"))


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_a_page_has_all_that_it_loads_and_only_its_profiles_name_speakers(trained: Trained, page: Path) -> None:
    for name, content in LIBRARY.items():
        assert (page / "onnxruntime-web" / name).read_bytes() == content
    for name in ("page.css", "page.js"):
        assert f'"{name}"' in (page / "index.html").read_text()
    read = read_page(page)
    assert tuple(speaker.name for speaker in read.speakers) == trained.bundle.profiles.names
    assert read.encoder == trained.bundle.encoder
    if os.name != "nt":
        assert stat.S_IMODE((page / PROFILES).stat().st_mode) == 0o600
    (page / PROFILES).unlink()
    rest = everything_in(page)
    scoring = trained.bundle.profiles.scoring
    for name, slopes in zip(trained.bundle.profiles.names, scoring.slopes, strict=True):
        assert name.encode() not in rest
        assert not any(slope.tobytes() in rest for slope in slopes)


def test_a_page_runs_no_inline_script_and_connects_to_its_own_server_alone(page: Path) -> None:
    html = (page / "index.html").read_text()
    assert "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; connect-src 'self'" in html
    assert "<script>" not in html
    assert not re.search(r"\s(on\w+|style)=", html)


def test_the_package_may_be_unpacked(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("speakerid.deployment.web_page._write_encoder", lambda bundle, path: 0.0)  # tested above
    with tarfile.open(npm_package(tmp_path / "library.tgz")) as archive:
        archive.extractall(tmp_path, filter="data")
    export_page(trained.bundle, tmp_path / "page", tmp_path / "package")
    for name, content in LIBRARY.items():
        assert (tmp_path / "page" / "onnxruntime-web" / name).read_bytes() == content


def test_speakers_are_listed_and_forgotten(trained: Trained, page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name, *others = trained.bundle.profiles.names
    centers = [base64.b64encode(center.tobytes()) for center in trained.bundle.profiles.centers[0]]
    before = everything_in(page)
    assert name.encode() in before
    assert all(center in before for center in centers)
    assert run(["speakers", str(page)]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [name, *others]

    killed = page / f".{PROFILES}.0123abcd.partial"  # left by a process that was killed
    shutil.copy(page / PROFILES, killed)
    assert run(["forget", str(page), name]) == 0
    assert capsys.readouterr().out == f"{name}: forgotten; {len(others)} speakers are left\n"
    after = everything_in(page)
    assert name.encode() not in after
    assert not any(center in after for center in centers)
    assert run(["speakers", str(page), "--json"]) == 0
    assert [speaker["name"] for speaker in json.loads(capsys.readouterr().out)["speakers"]] == others
    for other in others:
        assert run(["forget", str(page), other]) == 0
    assert read_page(page).speakers == []


def test_mistakes_about_a_page_are_said_in_a_line(trained: Trained, page: Path, tmp_path: Path) -> None:
    before = everything_in(page)
    library = npm_package(tmp_path / "library.tgz")
    (tmp_path / "cut.tgz").write_bytes(library.read_bytes()[:40])
    (tmp_path / "empty").mkdir()
    bundle, new = str(trained.path), str(tmp_path / "new")
    web = ["export", bundle, new, "--to", "web"]
    for arguments, expected in (
        (web, "--onnxruntime-web: missing with --to web; `npm pack onnxruntime-web@1.30.0` fetches"),
        ([*web, "--onnxruntime-web", str(tmp_path / "none.tgz")], "none.tgz: no such file or folder"),
        ([*web, "--onnxruntime-web", str(tmp_path / "cut.tgz")], f"cut.tgz: found no dist/{RUNTIME[0]} in it"),
        ([*web, "--onnxruntime-web", str(tmp_path / "empty")], f"empty: found no dist/{RUNTIME[0]} in it"),
        ([*web, "--onnxruntime-web", str(library), "--replace"], "--replace: has no effect with --to web"),
        (["export", bundle, str(page), "--to", "web", "--onnxruntime-web", str(library)], "page: already exists"),
        (
            ["export", bundle, new, "--to", "onnx", "--onnxruntime-web", str(library)],
            "has an effect with --to web only",
        ),
        (["forget", str(page), "nobody known"], "'nobody known': no speaker has this name"),
        (["speakers", str(tmp_path / "empty")], f"found a folder without {PROFILES}, expected a bundle, or a page"),
        (["forget", str(tmp_path / "empty"), "Anna"], f"found a folder without {PROFILES}"),
    ):
        with pytest.raises(UserError, match=re.escape(expected)):
            run(arguments)
    assert everything_in(page) == before
    assert not Path(new).exists()
    assert list((tmp_path / "empty").iterdir()) == []
    for content in ("{", "[" * 100_000, '{"format": "speakerid page 9"}', "\udce9"):
        (page / PROFILES).write_text(content, encoding="utf-8", errors="surrogateescape")
        with pytest.raises(UserError, match=f"^{re.escape(str(page / PROFILES))}: "):
            run(["forget", str(page), "Anna"])
