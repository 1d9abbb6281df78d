"""Finding recordings named on a command line."""

import os
from pathlib import Path

import pytest

from speakerid.base.errors import UserError
from speakerid.preparation.sources.walk import Remarks
from speakerid.recognition.paths import find_recordings


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("a.wav", "b/c.FLAC", "b/._c.wav", ".hidden.wav", ".Trashes/old.wav", "__MACOSX/._a.wav", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    os.mkfifo(tmp_path / "pipe.wav")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_folders_are_walked_as_prepare_walks_them(folder: Path) -> None:
    remarks = Remarks()
    assert find_recordings([str(folder)], remarks) == [folder / "a.wav", folder / "b/c.FLAC"]
    lines = remarks.lines()
    assert any("pipe.wav" in line for line in lines)
    assert any("1 .txt" in line for line in lines)


def test_a_file_is_taken_once_however_it_is_named(folder: Path) -> None:
    assert find_recordings(["a.wav", "./a.wav", "b/../a.wav", str(folder / "a.wav"), "*.wav"]) == [Path("a.wav")]


def test_a_file_may_be_named_whatever_it_is_called(folder: Path) -> None:
    for name in ("[1].wav", "line\nbreak.wav", "\udce9.wav", ".hidden.wav"):
        (folder / name).touch()
        assert find_recordings([name]) == [Path(name)]


@pytest.mark.parametrize("name", ["nothing.wav", "nothing*", "empty", "n" * 300])
def test_nothing_is_one_line(folder: Path, name: str) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(UserError, match="found no recordings there"):
        find_recordings([name])
