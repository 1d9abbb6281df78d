"""Files that are not regular, and files that change while they are read."""

import io
import os
import socket
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speakerid.audio.decode import decode, pieces
from speakerid.base.errors import UserError

RATE = 16_000


def recording(path: Path, seconds: float = 1) -> Path:
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(round(seconds * RATE)), RATE)
    return path


@pytest.mark.timeout(20)
def test_special_files_are_refused_without_opening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    os.mkfifo("pipe.wav")
    Path("folder.wav").mkdir()
    Path("device.wav").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.wav")
        for name, kind in (("pipe", "named pipe"), ("folder", "folder"), ("device", "device"), ("socket", "socket")):
            for read in (decode, lambda path: list(pieces(path, 1, RATE))):
                with pytest.raises(UserError, match=f"found a {kind}, expected a regular file"):
                    read(Path(f"{name}.wav"))


def test_a_link_to_a_recording_is_read(tmp_path: Path) -> None:
    (tmp_path / "link.wav").symlink_to(recording(tmp_path / "a.wav"))
    assert len(decode(tmp_path / "link.wav").waveform) == RATE


def test_a_recording_that_grows_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = recording(tmp_path / "a.wav", 40)
    piece = pieces(path, 1, RATE)
    next(piece)
    with path.open("ab") as file:
        file.write(bytes(1_000))
    with pytest.raises(UserError, match="changed while it was read; wait"):
        list(piece)


def test_a_recording_that_is_truncated_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = recording(tmp_path / "a.wav", 60)
    piece = pieces(path, 1, RATE)
    next(piece)
    os.truncate(path, 100_000)
    with pytest.raises(UserError, match="changed while it was read"):
        list(piece)


def test_a_recording_that_is_replaced_while_it_is_read_is_read_unchanged(tmp_path: Path) -> None:
    path = recording(tmp_path / "a.wav", 2)
    expected = decode(path).waveform
    piece = pieces(path, 0.5, RATE)
    first = next(piece)
    os.replace(recording(tmp_path / "b.wav", 1), path)
    np.testing.assert_array_equal(np.concatenate([first, *piece]), expected)


def test_many_threads_read_one_file(tmp_path: Path) -> None:
    content = io.BytesIO()
    soundfile.write(content, 0.1 * np.random.default_rng(0).standard_normal(RATE), RATE, format="FLAC")
    path = tmp_path / "a.flac"
    path.write_bytes(2 * content.getvalue())
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(len(decode(path).waveform))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [2 * RATE] * 8
