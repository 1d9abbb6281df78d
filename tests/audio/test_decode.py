import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from corpora import write_recording
from speakerid.audio.decode import EXTENSIONS, decode
from speakerid.errors import UserError


@pytest.mark.parametrize("ending", EXTENSIONS)
@pytest.mark.parametrize(("sample_rate", "channels"), [(16_000, 1), (44_100, 2), (8_000, 1), (48_000, 2)])
def test_every_format_is_read(tmp_path: Path, ending: str, sample_rate: int, channels: int) -> None:
    path = tmp_path / f"recording{ending}"
    write_recording(path, seconds=0.5, sample_rate=sample_rate, channels=channels)
    samples, found_rate = decode(path)
    assert found_rate == sample_rate
    assert samples.dtype == torch.float32
    assert samples.shape[0] == channels
    # MP3 comes in frames of 1152 samples, with some more in front.
    assert sample_rate // 2 <= samples.shape[1] <= sample_rate // 2 + (3 * 1152 if ending == ".mp3" else 0)
    assert samples.square().mean().sqrt().item() == pytest.approx(0.1, rel=0.3)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "DOUBLE", "ULAW"])
def test_samples_are_shares_of_full_scale_channel_by_channel(tmp_path: Path, subtype: str) -> None:
    expected = np.array([[0.5, -1.0], [0.25, 0.0], [-0.5, 0.125]], dtype=np.float32)
    soundfile.write(str(tmp_path / "a.wav"), expected, 16_000, subtype)
    samples, _ = decode(tmp_path / "a.wav")
    np.testing.assert_allclose(samples.numpy(), expected.T, atol=0.03 if subtype == "ULAW" else 1e-3)


def test_contents_decide_and_not_the_ending(tmp_path: Path) -> None:
    write_recording(tmp_path / "a.flac")
    (tmp_path / "a.flac").rename(tmp_path / "a.wav")
    samples, _ = decode(tmp_path / "a.wav")
    assert samples.shape == (1, 4_800)


@pytest.mark.parametrize("ending", EXTENSIONS)
@pytest.mark.parametrize("content", [b"", b"\0", b"not a recording\n" * 100, b"RIFF\xff\xff\xff\xffWAVEfmt "])
def test_no_recording_is_refused_in_one_line(tmp_path: Path, ending: str, content: bytes) -> None:
    (tmp_path / f"a{ending}").write_bytes(content)
    with pytest.raises(UserError) as caught:
        decode(tmp_path / f"a{ending}")
    assert str(caught.value).startswith("cannot be decoded: ")
    assert "\n" not in str(caught.value)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be decoded"):
        decode(tmp_path / "missing.wav")


def test_recording_without_samples_is_refused(tmp_path: Path) -> None:
    soundfile.write(str(tmp_path / "a.wav"), np.zeros(0), 16_000)
    with pytest.raises(UserError, match=r"^holds no samples$"):
        decode(tmp_path / "a.wav")


@pytest.mark.parametrize("ending", [".flac", ".ogg"])
def test_damaged_recording_is_refused_or_read_in_part(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    write_recording(path)
    content = path.read_bytes()
    for end in range(0, len(content), max(1, len(content) // 40)):
        path.write_bytes(content[:end])
        with suppress(UserError):
            samples, _ = decode(path)
            assert samples.isfinite().all()
            assert samples.shape[1] <= 4_800


@pytest.mark.parametrize("name", ["Jürgen Müller – 1.wav", "录音.wav", "a 'quoted' \"name\".wav"])
def test_any_name_is_read(tmp_path: Path, name: str) -> None:
    write_recording(tmp_path / name)
    assert decode(tmp_path / name)[0].shape == (1, 4_800)


def test_name_that_is_not_unicode_is_read(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"J\xfcrgen.wav")
    try:
        write_recording(path)
    except OSError:
        pytest.skip("this file system takes Unicode names only")
    assert decode(path)[0].shape == (1, 4_800)
