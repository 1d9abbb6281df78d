"""Files that are named like recordings and are not: the error identifies them and has a remedy."""

import gzip
import io
import json
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from encoding import encode
from speakerid.audio.decode import decode
from speakerid.base.errors import UserError

PAGE = b"<!DOCTYPE html>\n<html><head><title>404</title></head><body>Not found</body></html>"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
SHORTEN = (
    b"NIST_1A\n   1024\nchannel_count -i 1\nsample_count -i 48000\nsample_rate -i 16000\nsample_n_bytes -i 2\n"
    b"sample_byte_format -s2 10\nsample_sig_bits -i 16\nsample_coding -s26 pcm,embedded-shorten-v2.00\nend_head\n"
).ljust(1024) + b"ajkg\2\xfb\xb1" * 900


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.wav", b"RIFF" + bytes(99))
    return buffer.getvalue()


CONTENTS = {
    "HTML page": (PAGE, "download it again"),
    "HTML page ": (b"\n\n  <html lang=en>" + PAGE, "download it again"),
    "XML document": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "download it again"),
    "XML document ": (b"<Error><Code>NoSuchKey</Code></Error>", "download it again"),
    "JSON document": (json.dumps({"error": {"code": 401, "message": "unauthorized"}}).encode(), "download it again"),
    "Git LFS pointer": (LFS, "git lfs pull"),
    "git-annex pointer": (b"/annex/objects/SHA256E-s123--abc.wav\n", "git annex get"),
    "it is empty (0 bytes)": (b"", "download it again"),
    "only zero bytes": (bytes(20_000), "download it again"),
    "SPHERE file compressed by shorten": (SHORTEN, "sph2pipe"),
    "ZIP archive": (zipped(), "unpack it"),
    "gzip archive": (gzip.compress(b"RIFF" + bytes(999)), "unpack it"),
    "7z archive": (b"7z\xbc\xaf\x27\x1c\0\4" + bytes(range(200)), "unpack it"),
    "tar archive": (b"a.wav".ljust(257, b"\0") + b"ustar\x0000" + bytes(900), "unpack it"),
    "PDF document": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + bytes(range(256)), "look for the recording"),
    "MIDI file": (b"MThd\0\0\0\6\0\1\0\1\0\x60MTrk" + bytes(range(60)), "notes"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(range(90)), "look for the recording"),
    "AppleDouble": (b"\0\5\x16\7\0\2\0\0Mac OS X        " + bytes(range(80)), "delete it"),
    "playlist": (b"#EXTM3U\n#EXTINF:3,\nhttp://example.org/a.aac\n", "give the recordings"),
    "AVI video": (b"RIFF\x24\0\0\0AVI LIST" + bytes(range(90)), "ffmpeg"),
    "text, not a recording, and begins with 'start end who 0.5": (b"start\tend\twho\n0.5\t1.0\tanna\n", "download"),
    "text, not a recording, and begins with 'grün'": ("grün".encode("utf-16"), "download"),
}


@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("extension", [".wav", ".flac", ".mp3", ".sph", ".m4a"])
@pytest.mark.parametrize("with_av", [True, False])
def test_the_content_is_identified(
    tmp_path: Path, name: str, extension: str, with_av: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not with_av:
        monkeypatch.setitem(sys.modules, "av", None)
    content, remedy = CONTENTS[name]
    (tmp_path / f"a{extension}").write_bytes(content)
    with pytest.raises(UserError) as caught:
        decode(tmp_path / f"a{extension}")
    message = str(caught.value)
    assert name.strip() in message
    assert remedy in message
    assert "\n" not in message
    assert len(message) < 200


def test_raw_samples_need_a_header(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes((1_000 * np.random.default_rng(0).standard_normal(16_000)).astype("<i2").tobytes())
    with pytest.raises(UserError, match="if it holds raw samples, add a header: sox -t raw"):
        decode(path)


def test_a_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"\xef\xbb\xbf" + PAGE)
    with pytest.raises(UserError, match="an HTML page"):
        decode(path)


@pytest.mark.parametrize(("form", "codec", "expected"), [("mp4", "mpeg4", "only a picture"), ("mov", "mjpeg", "only")])
def test_a_video_without_sound_is_identified(tmp_path: Path, form: str, codec: str, expected: str) -> None:
    av = pytest.importorskip("av", reason="needs the extra 'av'")
    path = tmp_path / f"a.{form}"
    with av.open(str(path), "w", format=form) as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        for part in [frame, None]:
            container.mux(stream.encode(part))
    with pytest.raises(UserError, match=f"holds no sound, {expected}"):
        decode(path)


def test_protected_music_is_identified(tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="needs the extra 'av'")
    path = tmp_path / "a.m4p"
    with av.open(str(path), "w", format="ipod") as container:
        stream = container.add_stream("aac", rate=48_000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1_024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48_000
        for part in [frame, None]:
            container.mux(stream.encode(part))
    path.write_bytes(path.read_bytes().replace(b"mp4a\0\0\0\0", b"drms\0\0\0\0", 1))
    with pytest.raises(UserError, match="is copy-protected"):
        decode(path)


def test_recordings_are_never_identified_as_something_else(tmp_path: Path) -> None:
    for kind in soundfile.available_formats():
        if soundfile.check_format(kind) and kind not in ("RAW", "SD2"):
            path = tmp_path / f"a.{kind.lower()}"
            soundfile.write(path, np.zeros(8_000), 16_000, format=kind)
            assert len(decode(path).waveform) >= 8_000, kind


def test_a_codec_tag_that_is_not_text_is_read(tmp_path: Path) -> None:
    encode(tmp_path / "a.wav", np.zeros(16_000, np.float32), 16_000, "wav", "aac", 64_000)  # 0x00FF
    assert len(decode(tmp_path / "a.wav").waveform) >= 16_000
