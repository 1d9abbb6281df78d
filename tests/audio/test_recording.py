"""Formats that `decode` reads with FFmpeg, through the extra `av`."""

import io
import os
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from speakerid.audio.decode import AV_EXTENSIONS, decode
from speakerid.base.errors import UserError
from speakerid.base.extras import install

CODECS = {
    ".m4a": ("ipod", "aac"), ".m4b": ("ipod", "alac"), ".aac": ("adts", "aac"), ".mp4": ("mp4", "aac"),
    ".mov": ("mov", "pcm_s16le"), ".webm": ("webm", "libopus"), ".mka": ("matroska", "libopus"),
    ".mkv": ("matroska", "mp2"), ".wma": ("asf", "wmav2"), ".ac3": ("ac3", "ac3"), ".wv": ("wv", "wavpack"),
    ".mp2": ("mp2", "mp2"), ".3gp": ("3gp", "aac"),
}  # fmt: skip
RATE = 48_000


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def refused(path: Path, **arguments: Any) -> str:
    """Message of the error, which is one line."""
    with pytest.raises(UserError) as caught:
        decode(path, **arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def tone(seconds: float = 3) -> NDArray[np.float64]:
    """(N,) sweep, in which every time is unique."""
    time = np.arange(round(seconds * RATE)) / RATE
    return 0.3 * np.sin(2 * np.pi * (200 + 150 * time) * time)


@pytest.fixture(scope="module")
def encode(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Write the tone, on two channels, in the format of an extension."""
    av = pytest.importorskip("av", reason="needs the extra 'av'")
    folder = tmp_path_factory.mktemp("av")

    def encode(extension: str) -> Path:
        path = folder / f"a{extension}"
        if path.exists():
            return path
        kind, codec = CODECS[extension]
        with av.open(str(path), "w", format=kind) as container:
            stream = container.add_stream(codec, rate=RATE)
            stream.layout, stream.bit_rate, stream.time_base = "stereo", 128_000, Fraction(1, RATE)
            samples = np.stack([tone(), tone()]).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
            frame.sample_rate = RATE
            size = stream.codec_context.frame_size or 1_024
            convert = av.AudioResampler(stream.codec_context.format, "stereo", RATE, size)
            for part in [*convert.resample(frame), *convert.resample(None), None]:
                container.mux(stream.encode(part))
        return path

    return encode


def lag(found: NDArray[np.float32], expected: NDArray[np.floating], most: int) -> int:
    """Samples by which `found` is later, by the maximum of the correlation."""
    core = expected[2 * most : len(found) - 2 * most]
    return int(np.correlate(found[most : most + len(core) + 2 * most], core).argmax()) - most


@pytest.mark.parametrize("extension", CODECS)
def test_every_format_of_ffmpeg_is_read(encode: Callable[[str], Path], extension: str) -> None:
    sound = decode(encode(extension))
    assert (sound.sample_rate, sound.channels, sound.clipped) == (RATE, 2, 0)
    assert len(sound.waveform) / RATE == pytest.approx(3, abs=0.1)
    assert sound.waveform.dtype == np.float32
    delay = lag(sound.waveform[:RATE], tone(), 2_400)
    assert abs(delay) < 2_400  # encoders add or drop a little at the beginning
    core = slice(4_800, 2 * RATE)
    difference = np.roll(sound.waveform, -delay)[core] - tone()[core]
    assert np.sqrt(np.mean(difference**2)) < 0.02


@pytest.mark.parametrize("extension", CODECS)
@pytest.mark.parametrize(("start", "end"), [(0.1, 0.4), (1.0, 2.0), (2.123, 2.9)])
def test_a_segment_is_exact_to_a_millisecond(
    encode: Callable[[str], Path], extension: str, start: float, end: float
) -> None:
    path = encode(extension)
    whole, segment = decode(path).waveform, decode(path, start, end).waveform
    assert len(segment) == round(end * RATE) - round(start * RATE)
    assert abs(lag(segment, whole[round(start * RATE) :], 1_000)) <= RATE // 1_000


@pytest.mark.parametrize("extension", [".m4a", ".webm", ".aac"])
def test_the_same_limits_apply_to_ffmpeg(encode: Callable[[str], Path], extension: str) -> None:
    path = encode(extension)
    assert "min long, the limit is 0.03 min" in refused(path, max_seconds=2)
    assert "but the segment is from 2 to 7 s" in refused(path, start=2, end=7)
    assert "from 7 to 8 s" in refused(path, start=7, end=8)


def test_truncated_m4a_is_refused(encode: Callable[[str], Path], tmp_path: Path) -> None:
    whole = encode(".m4a").read_bytes()
    index = whole.index(b"moov") - 4
    # The index at the end is cut off, or it stays and the sound before it is overwritten.
    assert refused(written(tmp_path / "a.m4a", whole[:index])).startswith("cannot be decoded: ")
    for content in (b"", b"no sound\n" * 99, bytes(5_000)):
        assert refused(written(tmp_path / "a.m4a", content)).startswith("cannot be decoded: ")


@pytest.mark.parametrize("extension", AV_EXTENSIONS)
def test_without_the_extra_the_error_names_it(tmp_path: Path, extension: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    message = refused(written(tmp_path / f"a{extension}", bytes(range(1, 256))))
    assert message.startswith(f"cannot be decoded: {extension} needs PyAV; convert it to FLAC, or {install('av')}")


def test_name_that_is_not_unicode_is_read_by_ffmpeg(encode: Callable[[str], Path], tmp_path: Path) -> None:
    content = encode(".m4a").read_bytes()
    try:
        path = written(tmp_path / os.fsdecode(b"J\xfcrgen.m4a"), content)
    except OSError:
        pytest.skip("this file system takes Unicode names only")
    assert len(decode(path).waveform) > 2.9 * RATE


def test_m4a_under_another_name_is_read(encode: Callable[[str], Path], tmp_path: Path) -> None:
    assert len(decode(written(tmp_path / "a.wav", encode(".m4a").read_bytes())).waveform) > 2.9 * RATE


def test_many_channels_are_averaged_by_ffmpeg(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="needs the extra 'av'")
    expected = 0.1 * np.random.default_rng(0).standard_normal((1_600, 33))
    buffer = io.BytesIO()
    soundfile.write(buffer, expected, 16_000, "FLOAT", format="WAV")
    sound = decode(written(tmp_path / "a.mka", buffer.getvalue()))
    assert sound.channels == 33
    np.testing.assert_allclose(sound.waveform, expected.mean(1), rtol=0, atol=1e-6)


def test_a_playlist_opens_no_other_file(encode: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "secret.aac").write_bytes(encode(".aac").read_bytes())
    playlists = [
        f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{tmp_path}/secret.aac\n#EXT-X-ENDLIST\n",
        f"ffconcat version 1.0\nfile '{tmp_path}/secret.aac'\n",
    ]
    for playlist in playlists:
        assert refused(written(tmp_path / "a.m4a", playlist.encode())).startswith("cannot be decoded: ")
