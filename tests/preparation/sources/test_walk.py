import os
import socket
from pathlib import Path

from speakerid.preparation.sources.walk import Remarks, recordings_below


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_recordings_below_a_folder_are_in_natural_order(tmp_path: Path) -> None:
    touch(tmp_path, "b/take10.wav", "b/take2.WAV", "a.flac", "b/notes.txt")
    assert [str(path.relative_to(tmp_path)) for path in recordings_below(tmp_path)] == [
        "a.flac", "b/take2.WAV", "b/take10.wav",
    ]  # fmt: skip


def test_files_of_operating_systems_are_skipped(tmp_path: Path) -> None:
    touch(tmp_path, "ann/a.wav", "ann/._a.wav", ".Trashes/b.wav", "__MACOSX/ann/a.wav", "ann/@eaDir/a.wav/x.mp3")
    touch(tmp_path, "#recycle/a.wav", "$RECYCLE.BIN/c.wav", "System Volume Information/d.wav", ".hidden.wav")
    assert recordings_below(tmp_path) == [tmp_path / "ann" / "a.wav"]


def test_special_files_are_reported_and_never_opened(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav")
    os.mkfifo(tmp_path / "f.wav")
    (tmp_path / "n.wav").symlink_to("/dev/null")
    here = os.getcwd()
    os.chdir(tmp_path)  # a socket's name is short
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind("s.wav")
    finally:
        os.chdir(here)
    remarks = Remarks()
    assert recordings_below(tmp_path, remarks) == [tmp_path / "a.wav"]
    assert remarks.lines() == [
        "skipped, not a file but a named pipe: f.wav",
        "skipped, not a file but a device: n.wav",
        "skipped, not a file but a socket: s.wav",
    ]
