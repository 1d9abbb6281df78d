"""Concatenated recordings in one file are all read or refused; never is only the first one read."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from speakerid.audio.concatenated import parts
from speakerid.audio.decode import decode, pieces
from speakerid.base.errors import UserError

RATE = 16_000
CONTAINERS = {
    "wav": ("WAV", None), "wavex": ("WAVEX", None), "rf64": ("RF64", None), "w64": ("W64", None),
    "aiff": ("AIFF", None), "au": ("AU", None), "caf": ("CAF", None), "alac": ("CAF", "ALAC_16"),
    "sph": ("NIST", None), "voc": ("VOC", None), "flac": ("FLAC", None), "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"), "mp3": ("MP3", None), "ima": ("WAV", "IMA_ADPCM"), "gsm": ("WAV", "GSM610"),
}  # fmt: skip


def noise(samples: int, seed: int = 0, channels: int = 1) -> NDArray[np.float64]:
    """(N, channels)"""
    return 0.1 * np.random.default_rng(seed).standard_normal((samples, channels))


def encoded(samples: NDArray[np.float64], kind: str, rate: int = RATE) -> bytes:
    buffer = io.BytesIO()
    container, subtype = CONTAINERS[kind]
    soundfile.write(buffer, samples, rate, subtype, format=container)
    return buffer.getvalue()


def samples_of(folder: Path, content: bytes) -> NDArray[np.float32]:
    path = folder / "a.bin"
    path.write_bytes(content)
    return decode(path).waveform


def bounds(folder: Path, content: bytes) -> list[tuple[int, int]]:
    path = folder / "a.bin"
    path.write_bytes(content)
    with path.open("rb") as file:
        return [(part.start, part.end) for part in parts(file)]


def untagged(mp3: bytes) -> bytes:
    """Remove the first frame, which has the number of the others."""
    return mp3[mp3.index(mp3[:2], 20) :]


@pytest.mark.parametrize("kind", CONTAINERS)
def test_two_concatenated_files_are_read_to_the_end(tmp_path: Path, kind: str) -> None:
    one, other = encoded(noise(9_000), kind), encoded(noise(5_000, seed=1), kind)
    alone = [samples_of(tmp_path, content) for content in (one, other)]
    np.testing.assert_array_equal(samples_of(tmp_path, one + other), np.concatenate(alone))


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "mp3"])
def test_a_segment_may_be_anywhere_in_them(tmp_path: Path, kind: str) -> None:
    content = b"".join(encoded(noise(RATE, seed), kind) for seed in range(4))
    whole = samples_of(tmp_path, content)
    for start, end in ((0.2, 0.7), (0.9, 1.1), (1, 2), (2.5, 3.9), (0.1, 3.95)):
        found = decode(tmp_path / "a.bin", start, end).waveform
        np.testing.assert_array_equal(found, whole[round(start * RATE) : round(end * RATE)])
    with pytest.raises(UserError, match="ends before the segment from 5 to 6 s; correct start and end"):
        decode(tmp_path / "a.bin", 5, 6)
    with pytest.raises(UserError, match=r"is at least 0\.\d+ min long"):
        decode(tmp_path / "a.bin", max_seconds=2.5)
    np.testing.assert_array_equal(np.concatenate(list(pieces(tmp_path / "a.bin", 0.3, RATE))), whole)


@pytest.mark.parametrize("tags", [(True, False), (False, True), (False, False), (True, True, False, True)])
def test_mp3_with_and_without_a_count_of_frames(tmp_path: Path, tags: tuple[bool, ...]) -> None:
    files = [encoded(noise(30_000, seed), "mp3") for seed in range(len(tags))]
    files = [file if tag else untagged(file) for file, tag in zip(files, tags, strict=True)]
    assert len(samples_of(tmp_path, b"".join(files))) == pytest.approx(30_000 * len(tags), abs=2_304 * len(tags))


@pytest.mark.parametrize(
    "tail",
    [
        b"TAG" + bytes(125),
        b"APETAGEX" + bytes(300),
        bytes(5_000),
        b"\xff\xfb" * 900,
        b"junk" * 500,
        b"\xff\xfb\x90\xc0" + bytes(413),  # like a single frame of an MP3 at 44.1 kHz and 128 kbit/s
    ],
)
def test_tags_and_junk_after_a_recording_are_not_recordings(tmp_path: Path, tail: bytes) -> None:
    for kind in ("mp3", "wav", "flac"):
        content = encoded(noise(20_000), kind)
        assert bounds(tmp_path, content + tail) == [(0, len(content + tail))]
        np.testing.assert_array_equal(samples_of(tmp_path, content + tail), samples_of(tmp_path, content))


def test_an_id3_tag_belongs_to_the_following_recording(tmp_path: Path) -> None:
    tag = b"ID3\4\0\0" + bytes([0, 0, 2, 44]) + bytes(300)
    one, other = tag + encoded(noise(9_000), "mp3"), tag + encoded(noise(9_000, 1), "mp3")
    assert bounds(tmp_path, one + other) == [(0, len(one)), (len(one), len(one + other))]


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF], ids=hex)
def test_recordings_written_to_a_pipe(tmp_path: Path, size: int) -> None:
    def streamed(seed: int) -> bytes:
        content = bytearray(encoded(noise(8_000, seed), "wav"))
        content[4:8] = content[40:44] = struct.pack("<I", size)
        return bytes(content)

    assert len(samples_of(tmp_path, streamed(0) + streamed(1))) == 16_000


@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (RATE, 2)])
def test_recordings_with_different_formats_are_refused(tmp_path: Path, rate: int, channels: int) -> None:
    for kind in ("wav", "flac", "mp3", "ogg"):
        (tmp_path / "a").write_bytes(encoded(noise(RATE), kind) + encoded(noise(RATE, 1, channels), kind, rate))
        with pytest.raises(UserError, match="holds 2 concatenated recordings, which differ in sample"):
            decode(tmp_path / "a")


@pytest.mark.parametrize("other", ["flac", "mp3", "ogg", "aiff"])
def test_a_recording_of_another_kind_after_a_wav(tmp_path: Path, other: str) -> None:
    assert len(samples_of(tmp_path, encoded(noise(9_000), "wav") + encoded(noise(9_000, 1), other))) == 18_000


@pytest.mark.parametrize("other", ["wav", "mp3", "ogg", "aiff"])
@pytest.mark.parametrize("samples", [900, 90_000])
def test_a_recording_of_another_kind_after_a_flac_is_not_lost_silently(
    tmp_path: Path, other: str, samples: int
) -> None:
    (tmp_path / "a").write_bytes(encoded(noise(9_000), "flac") + encoded(noise(samples, 1), other))
    with pytest.raises(UserError, match=r"a recording of another kind follows after 0\.56 s; split the file"):
        decode(tmp_path / "a")


def test_a_header_in_the_metadata_of_a_flac_is_not_a_recording(tmp_path: Path) -> None:
    """`flac --keep-foreign-metadata` keeps the header of the WAV."""
    content = encoded(noise(900), "flac")
    kept = b"riffRIFF" + struct.pack("<I", 1_836) + b"WAVE"
    block = b"\x02" + struct.pack(">I", len(kept))[1:] + kept
    assert len(samples_of(tmp_path, content[:42] + block + content[42:])) == 900


@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_truncation_of_the_last_recording_is_detected(tmp_path: Path, kind: str) -> None:
    one, other = encoded(noise(RATE), kind), encoded(noise(2 * RATE, 1), kind)
    (tmp_path / "a").write_bytes(one + other[: len(other) // 2])
    with pytest.raises(UserError, match="is truncated or damaged"):
        decode(tmp_path / "a")


@pytest.mark.parametrize(
    ("extension", "form", "codec"),
    [
        (".m4a", "ipod", "aac"), (".mov", "mov", "pcm_s16le"), (".webm", "webm", "libopus"),
        (".mka", "matroska", "libopus"), (".wma", "asf", "wmav2"), (".aac", "adts", "aac"), (".ac3", "ac3", "ac3"),
        (".3gp", "3gp", "aac"),
    ],
)  # fmt: skip
def test_files_for_ffmpeg(tmp_path: Path, extension: str, form: str, codec: str) -> None:
    av = pytest.importorskip("av", reason="needs the extra 'av'")
    path = tmp_path / f"one{extension}"
    with av.open(str(path), "w", format=form) as container:
        stream = container.add_stream(codec, rate=48_000)
        stream.layout, stream.bit_rate = "mono", 64_000
        frame = av.AudioFrame.from_ndarray(noise(48_000).T.astype(np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48_000
        convert = av.AudioResampler(
            stream.codec_context.format, "mono", 48_000, stream.codec_context.frame_size or 1_024
        )
        for part in [*convert.resample(frame), *convert.resample(None), None]:
            container.mux(stream.encode(part))
    joined = tmp_path / f"two{extension}"
    joined.write_bytes(path.read_bytes() * 2)
    assert len(decode(joined).waveform) == pytest.approx(2 * len(decode(path).waveform), abs=4_096)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(["mp3", "ogg", "flac", "wav", "au"]), data=st.data())
def test_parts_of_damaged_files_cover_the_whole(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    content = bytearray(2 * encoded(noise(4_000), kind))
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + 20] = data.draw(st.binary(max_size=40))
    found = bounds(tmp_path, bytes(content))
    assert [start for start, _ in found] == [0, *(end for _, end in found[:-1])]
    assert found[-1][1] == len(content)
