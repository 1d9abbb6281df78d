import io
import os
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from speakerid.audio.decode import AV_EXTENSIONS, EXTENSIONS, SOUNDFILE_EXTENSIONS, TooLong, decode, pieces, write_wav
from speakerid.audio.resample import resample
from speakerid.base.errors import UserError
from speakerid.base.extras import install

RATE = 16_000
VOICES = Path(__file__).resolve().parents[3] / "shared" / "voices"

FORMATS = {
    ".wav": "WAV", ".wave": "WAVEX", ".flac": "FLAC", ".ogg": "OGG", ".oga": "OGG", ".opus": "OGG", ".mp3": "MP3",
    ".aif": "AIFF", ".aiff": "AIFF", ".aifc": "AIFF", ".au": "AU", ".snd": "AU", ".caf": "CAF", ".w64": "W64",
    ".rf64": "RF64", ".voc": "VOC", ".sph": "NIST", ".nist": "NIST",
}  # fmt: skip


def noise(seconds: float, rate: int = RATE, channels: int = 1, seed: int = 0) -> NDArray[np.float64]:
    """(N, channels)"""
    return 0.1 * np.random.default_rng(seed).standard_normal((round(seconds * rate), channels))


def encoded(samples: NDArray[np.float64], kind: str, subtype: str | None = None, rate: int = RATE) -> bytearray:
    buffer, channels = io.BytesIO(), 1 if samples.ndim == 1 else samples.shape[1]
    with soundfile.SoundFile(buffer, "w", rate, channels, subtype, format=kind) as file:
        for start in range(0, len(samples), rate):  # long ones at once overflow the stack of libsndfile's Ogg writer
            file.write(samples[start : start + rate])
    return bytearray(buffer.getvalue())


def written(path: Path, content: bytes | bytearray) -> Path:
    path.write_bytes(content)
    return path


def refused(path: Path, **arguments: Any) -> str:
    """Message of the error, which is one line."""
    with pytest.raises(UserError) as caught:
        decode(path, **arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# What is read


@pytest.mark.parametrize("extension", FORMATS)
@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (44_100, 2), (8_000, 1), (48_000, 2)])
def test_every_format_of_libsndfile_is_read(tmp_path: Path, extension: str, rate: int, channels: int) -> None:
    subtype = "OPUS" if extension == ".opus" else None
    if subtype == "OPUS" and rate == 44_100:
        rate = 24_000  # Opus has five rates
    content = encoded(noise(0.5, rate, channels), FORMATS[extension], subtype, rate)
    sound = decode(written(tmp_path / f"recording{extension}", content))
    assert sound.sample_rate == rate
    assert sound.channels == channels
    assert sound.waveform.dtype == np.float32
    assert sound.waveform.shape == (rate // 2,)
    level = 0.1 / np.sqrt(channels)  # for the mean of independent channels
    assert np.sqrt(np.square(sound.waveform).mean()) == pytest.approx(level, rel=0.3)


def test_every_extension_has_a_decoder() -> None:
    assert set(SOUNDFILE_EXTENSIONS) - {".mp2"} == set(FORMATS)
    assert {*SOUNDFILE_EXTENSIONS, *AV_EXTENSIONS} == set(EXTENSIONS)
    assert len(set(EXTENSIONS)) == len(EXTENSIONS)


@pytest.mark.parametrize(
    ("kind", "subtype", "tolerance"),
    [
        ("WAV", "PCM_U8", 1e-2), ("WAV", "PCM_16", 1e-4), ("WAV", "PCM_24", 1e-6), ("WAV", "PCM_32", 1e-7),
        ("WAV", "FLOAT", 0), ("WAV", "DOUBLE", 0), ("WAV", "ULAW", 3e-2), ("WAV", "ALAW", 3e-2),
        ("AIFF", "PCM_S8", 1e-2), ("FLAC", "PCM_24", 1e-6), ("CAF", "ALAC_16", 1e-4), ("AU", "PCM_32", 1e-7),
    ],
)  # fmt: skip
def test_samples_are_relative_to_full_scale(tmp_path: Path, kind: str, subtype: str, tolerance: float) -> None:
    expected = np.array([0.5, -0.96875, 0.25, 0.0, -0.5, 0.125])
    sound = decode(written(tmp_path / "a.wav", encoded(expected, kind, subtype)))
    np.testing.assert_allclose(sound.waveform, expected, rtol=0, atol=tolerance)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(channels=st.integers(1, 40), samples=st.integers(1, 2_000), seed=st.integers(0, 9))
def test_channels_are_averaged(tmp_path: Path, channels: int, samples: int, seed: int) -> None:
    given_samples = noise(samples / RATE, channels=channels, seed=seed)
    sound = decode(written(tmp_path / "a.wav", encoded(given_samples, "WAV", "FLOAT")))
    assert sound.channels == channels
    np.testing.assert_allclose(sound.waveform, given_samples.mean(1), rtol=0, atol=1e-6)


def test_a_thousand_channels_are_averaged_in_many_blocks(tmp_path: Path) -> None:
    given_samples = noise(0.1, channels=1_024)
    sound = decode(written(tmp_path / "a.wav", encoded(given_samples, "WAV", "FLOAT")))
    assert sound.channels == 1_024
    np.testing.assert_allclose(sound.waveform, given_samples.mean(1), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "AIFF"])
@pytest.mark.parametrize("channel", [0, 1, 2])
def test_one_channel_is_read_alone(tmp_path: Path, kind: str, channel: int) -> None:
    samples = noise(0.3, channels=3)
    samples[:10, 0] = 1
    sound = decode(written(tmp_path / "a.wav", encoded(samples, kind)), channel=channel)
    np.testing.assert_allclose(sound.waveform, samples[:, channel], rtol=0, atol=1e-4)
    assert sound.channels == 3
    assert sound.clipped == (pytest.approx(10 / len(samples)) if channel == 0 else 0)
    segment = decode(tmp_path / "a.wav", 0.1, 0.2, channel=channel)
    np.testing.assert_array_equal(segment.waveform, sound.waveform[1_600:3_200])


@pytest.mark.parametrize(("channels", "channel", "count"), [(1, 1, "1 channel"), (2, 2, "2 channels"), (2, -1, "2")])
def test_a_channel_that_does_not_exist_is_refused(tmp_path: Path, channels: int, channel: int, count: str) -> None:
    message = refused(written(tmp_path / "a.wav", encoded(noise(0.1, channels=channels), "WAV")), channel=channel)
    assert message.startswith(f"has {count}")
    assert f"found channel {channel + 1}, expected 1 to {channels}" in message


def test_clipping_in_any_channel_counts(tmp_path: Path) -> None:
    left, right = np.zeros(100), np.zeros(100)
    left[:10], left[50:60] = 1.0, 0.998
    right[5:15] = -1.0
    content = encoded(np.stack([left, right], 1), "WAV", "FLOAT")
    assert decode(written(tmp_path / "a.wav", content)).clipped == pytest.approx(0.15)
    assert decode(written(tmp_path / "a.wav", encoded(noise(0.1), "WAV"))).clipped == 0


def test_format_is_detected_by_content(tmp_path: Path) -> None:
    assert len(decode(written(tmp_path / "a.wav", encoded(noise(0.3), "FLAC"))).waveform) == 4_800


@pytest.mark.parametrize(
    "name", [os.fsdecode(b"J\xfcrgen.wav"), "Jürgen Müller – 1.wav", "录音.wav", "a 'b' \"c\".wav"]
)
def test_any_name_is_read(tmp_path: Path, name: str) -> None:
    try:
        path = written(tmp_path / name, encoded(noise(0.3), "WAV"))
    except OSError:
        pytest.skip("this file system takes Unicode names only")
    assert len(decode(path).waveform) == 4_800


def test_real_recordings_are_read_as_soundfile_reads_them() -> None:
    paths = sorted(VOICES.glob("*/*.ogg"))[::100]
    if not paths:
        pytest.skip(f"no recordings at {VOICES}")
    for path in paths:
        expected, rate = soundfile.read(path, dtype="float32")
        sound = decode(path)
        assert sound.sample_rate == rate
        np.testing.assert_array_equal(sound.waveform, expected)


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
def test_blocks_join_without_a_seam(tmp_path: Path, kind: str) -> None:
    content = encoded(noise(2**18 / RATE + 2), kind)
    expected, _ = soundfile.read(io.BytesIO(content), dtype="float32")
    found = decode(written(tmp_path / "a", content)).waveform
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


# Segments


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "OPUS", "MP3", "ADPCM", "G721"])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.floats(0, 2.9), duration=st.floats(0.01, 3))
def test_a_segment_equals_that_of_the_whole(tmp_path: Path, kind: str, start: float, duration: float) -> None:
    path = tmp_path / "a"
    if not path.exists():
        container = {"OPUS": ("OGG", "OPUS"), "ADPCM": ("WAV", "IMA_ADPCM"), "G721": ("WAV", "G721_32")}
        written(path, encoded(noise(3), *container.get(kind, (kind, None))))
    end = min(3.0, start + duration)
    whole, segment = decode(path).waveform, decode(path, start, end).waveform
    assert len(segment) == round(end * RATE) - round(start * RATE)
    tolerance = {"OPUS": 0.02, "MP3": 1e-3}.get(kind, 1e-6)  # their decoders need some time to settle
    np.testing.assert_allclose(
        segment, whole[round(start * RATE) : round(end * RATE)], rtol=0, atol=tolerance, strict=True
    )


def test_a_segment_of_a_long_ogg_is_exact_up_to_its_last_page(tmp_path: Path) -> None:
    path = written(tmp_path / "a.ogg", encoded(noise(100, 8_000), "OGG", rate=8_000))
    whole = decode(path).waveform
    for start in (10, 39.9, 40.1, 70, 97, 98.5, 99.5, 99.9):
        assert np.array_equal(decode(path, start).waveform, whole[round(start * 8_000) :])


def test_a_segment_needs_only_a_start_or_an_end(tmp_path: Path) -> None:
    path = written(tmp_path / "a.wav", encoded(noise(1), "WAV"))
    whole = decode(path).waveform
    assert np.array_equal(decode(path, start=0.25).waveform, whole[4_000:])
    assert np.array_equal(decode(path, end=0.25).waveform, whole[:4_000])
    assert np.array_equal(decode(path, 0.5, 1.05).waveform, whole[8_000:])  # times are rounded, so there is a tolerance


@pytest.mark.parametrize(("start", "end"), [(0.5, 2.0), (1.0, 1.5), (7.0, 9.0), (0.0, 1e300), (1e8, 1e300)])
@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
def test_a_segment_beyond_the_end_is_refused(tmp_path: Path, kind: str, start: float, end: float) -> None:
    message = refused(written(tmp_path / "a", encoded(noise(1), kind)), start=start, end=end)
    assert message.startswith(f"is 1.00 s long, but the segment is from {start:g} to {end:g} s")


@pytest.mark.parametrize(
    ("start", "end"), [(1, 1), (2, 1), (-1, 1), (float("nan"), 1), (0, float("nan")), (1e300, 2e300)]
)
def test_an_invalid_segment_is_refused(tmp_path: Path, start: float, end: float) -> None:
    path = written(tmp_path / "a.wav", encoded(noise(1), "WAV"))
    assert "expected 0 <= start < end" in refused(path, start=start, end=end)


def test_a_recording_is_written_under_any_name(tmp_path: Path) -> None:
    path = tmp_path / "any \udce9" / "\n\udce9.wav"
    write_wav(path, noise(1)[:, 0].astype(np.float32), RATE)
    assert len(decode(path).waveform) == RATE


# What is too long


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3", "W64"])
def test_too_long_is_refused_as_early_as_possible(tmp_path: Path, kind: str) -> None:
    path = written(tmp_path / "a", encoded(noise(3), kind))
    message = refused(path, max_seconds=2.4)
    assert message.startswith("is at least 0.05 min long, the limit is 0.04 min")
    assert "cut it into shorter recordings" in message
    with pytest.raises(TooLong):
        decode(path, max_seconds=2.4)
    assert len(decode(path, 0.5, 2.5, max_seconds=2.4).waveform) == 2 * RATE
    assert len(decode(path, max_seconds=3).waveform) == 3 * RATE


def test_ten_hours_are_refused_by_their_header(tmp_path: Path) -> None:
    content = encoded(noise(0.1), "WAV")
    for position, size in ((4, 36 + 36_000 * 2 * RATE), (content.index(b"data") + 4, 36_000 * 2 * RATE)):
        content[position : position + 4] = struct.pack("<I", size)
    path = written(tmp_path / "a.wav", content)
    with path.open("rb+") as file:
        file.truncate(44 + 36_000 * 2 * RATE)  # a sparse file takes no space
    assert refused(path).startswith("is at least 600 min long, the limit is 20 min")
    assert len(decode(path, 35_999).waveform) == RATE


def test_too_long_is_refused_before_the_rest_is_decoded(tmp_path: Path) -> None:
    content = encoded(noise(40, 8_000, channels=2), "FLAC", rate=8_000)
    content[21] &= 0xF0
    content[22:26] = bytes(4)  # streamed: the header does not know how many samples
    content[-1_000:] = bytes(1_000)
    path = written(tmp_path / "a.flac", content)
    assert "is at least 0.27 min long" in refused(path, max_seconds=10)
    assert "truncated or damaged" in refused(path)


# Truncated files, and files that only look truncated


@pytest.mark.parametrize("kind", ["WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "NIST", "FLAC", "MP3"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_truncation_is_refused_with_both_lengths(tmp_path: Path, kind: str, share: float) -> None:
    content = encoded(noise(3), kind)
    message = refused(written(tmp_path / "a", content[: round(share * len(content))]))
    lengths = re.fullmatch(
        r"is truncated or damaged: found ([\d.]+) s of the ([\d.]+) s in its header; copy.*", message
    )
    assert lengths, message
    assert float(lengths[2]) == pytest.approx(3, abs=0.05)
    assert float(lengths[1]) == pytest.approx(3 * share, abs=0.3)


@pytest.mark.parametrize("kind", ["WAV", "AIFF", "MP3"])
def test_slightly_less_than_in_the_header_is_read(tmp_path: Path, kind: str) -> None:
    content = encoded(noise(3), kind)
    assert len(decode(written(tmp_path / "a", content[: round(0.99 * len(content))])).waveform) > 2.9 * RATE


@pytest.mark.parametrize("kind", ["WAV", "AIFF"])
def test_a_segment_before_the_truncation_is_read(tmp_path: Path, kind: str) -> None:
    content = encoded(noise(3), kind)
    path = written(tmp_path / "a", content[: len(content) // 2])
    assert len(decode(path, 0.5, 1.25).waveform) == 12_000
    assert "found 1.50 s of the 3.00 s" in refused(path, start=1.0, end=2.5)
    assert "found 1.50 s of the 3.00 s" in refused(path, start=2.0, end=2.5)


@pytest.mark.parametrize("kind", ["OGG", "CAF"])
def test_any_truncation_is_read_in_part_or_refused(tmp_path: Path, kind: str) -> None:
    content = encoded(noise(0.3), kind)
    for end in range(0, len(content), max(1, len(content) // 40)):
        path = written(tmp_path / "a", content[:end])
        try:
            sound = decode(path)
        except UserError:
            continue
        assert np.isfinite(sound.waveform).all()
        assert len(sound.waveform) <= 4_800


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 0x80000000], ids=hex)
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "FLOAT"])
def test_streamed_wav_is_read_whole(tmp_path: Path, size: int, subtype: str) -> None:
    expected = noise(0.5, channels=2)
    content = encoded(expected, "WAV", subtype)
    position = content.index(b"data") + 4
    content[position : position + 4] = struct.pack("<I", size)
    sound = decode(written(tmp_path / "a.wav", content))
    np.testing.assert_allclose(sound.waveform, expected.mean(1), rtol=0, atol=1e-2)


def test_streamed_flac_is_read_whole(tmp_path: Path) -> None:
    content = encoded(noise(0.5), "FLAC")
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    path = written(tmp_path / "a.flac", content)
    assert len(decode(path).waveform) == 8_000
    assert len(decode(path, 0.1, 0.3).waveform) == 3_200
    assert refused(path, start=0.3, end=0.9).startswith("is 0.50 s long")


def without_tag(mp3: bytearray) -> bytearray:
    """Remove the first frame, which has the number of the others."""
    second = next(position for position in range(20, len(mp3)) if mp3[position : position + 2] == mp3[:2])
    return mp3[second:]


def test_mp3_without_a_tag_is_read_for_any_estimate_of_libsndfile(tmp_path: Path) -> None:
    loud_first = np.concatenate([noise(1), np.zeros((3 * RATE, 1))])  # so that the estimate is too short, or too long
    content = without_tag(encoded(loud_first, "MP3"))
    path = written(tmp_path / "a.mp3", content)
    guess = soundfile.info(io.BytesIO(content)).duration
    assert abs(guess - 4) > 0.5
    assert len(decode(path).waveform) / RATE == pytest.approx(4, abs=0.15)
    assert len(decode(written(path, content[: len(content) // 2])).waveform) < 4 * RATE


def test_what_libsndfile_reads_in_part_needs_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = without_tag(encoded(np.concatenate([noise(1) / 1e3, noise(3)]), "MP3"))
    path = written(tmp_path / "a", content)
    monkeypatch.setitem(sys.modules, "av", None)
    message = refused(path)
    assert "can be decoded" in message
    assert install("av") in message


# What cannot be read


@pytest.mark.parametrize("extension", SOUNDFILE_EXTENSIONS)
@pytest.mark.parametrize("content", [b"", b"\0", b"not a recording\n" * 100, b"RIFF\xff\xff\xff\xffWAVEfmt "])
def test_other_content_is_refused_in_one_line(tmp_path: Path, extension: str, content: bytes) -> None:
    message = refused(written(tmp_path / f"a{extension}", content))
    assert message.startswith("cannot be decoded: ") or (extension == ".flac" and message == "holds no samples")


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "missing.wav") == "cannot be decoded: No such file or directory"
    (tmp_path / "a.wav").mkdir()
    assert refused(tmp_path / "a.wav") == "found a folder, expected a regular file"


@pytest.mark.parametrize("kind", ["WAV", "AU", "AIFF"])
def test_recording_without_samples_is_refused(tmp_path: Path, kind: str) -> None:
    assert refused(written(tmp_path / "a.wav", encoded(noise(0), kind))) == "holds no samples"


@pytest.mark.parametrize("rate", [1, 999, 384_001, 2**31 - 1])
def test_impossible_sample_rates_are_refused(tmp_path: Path, rate: int) -> None:
    content = encoded(noise(0.1), "WAV")
    content[24:28] = struct.pack("<I", rate)
    message = refused(written(tmp_path / "a.wav", content))
    assert message == f"sample rate is {rate:,} Hz; expected 1,000 to 384,000 Hz"


@pytest.mark.parametrize("rate", [1_000, 11_025, 44_101, 384_000])
def test_any_possible_sample_rate_is_read(tmp_path: Path, rate: int) -> None:
    sound = decode(written(tmp_path / "a.wav", encoded(noise(0.1, rate), "WAV", rate=rate)))
    assert (sound.sample_rate, len(sound.waveform)) == (rate, rate // 10)


# In pieces


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20, deadline=None)
@given(st.sampled_from([".wav", ".flac", ".ogg", ".mp3"]), st.integers(1, 2), st.floats(0.05, 4))
def test_pieces_join_to_the_whole(tmp_path: Path, extension: str, channels: int, seconds: float) -> None:
    path = written(tmp_path / f"a{extension}", encoded(noise(2.5, channels=channels), FORMATS[extension]))
    whole, parts = decode(path), list(pieces(path, seconds, RATE))
    assert np.array_equal(np.concatenate(parts), whole.waveform)
    assert {len(part) for part in parts[:-1]} <= {round(seconds * RATE)}
    assert 0 < len(parts[-1]) <= round(seconds * RATE)


def test_pieces_are_resampled_without_a_seam(tmp_path: Path) -> None:
    path = written(tmp_path / "a.wav", encoded(noise(4, 44_100), "WAV", rate=44_100))
    whole = resample(decode(path).waveform, 44_100, RATE)
    assert np.array_equal(np.concatenate(list(pieces(path, 0.7, RATE))), whole)


def test_pieces_of_truncated_or_missing_files_are_refused(tmp_path: Path) -> None:
    whole = encoded(noise(5), "WAV")
    path = written(tmp_path / "cut.wav", whole[: len(whole) // 2])
    for bad in (path, written(tmp_path / "no.wav", b"RIFF"), tmp_path / "missing.wav"):
        with pytest.raises(UserError, match=r"truncated|cannot be decoded"):
            list(pieces(bad, 1, RATE))


# Memory


@pytest.mark.parametrize(("rate", "channels", "seconds"), [(384_000, 1, 180), (192_000, 8, 40), (8_000, 1, 1_100)])
def test_memory_depends_only_on_the_length_at_the_new_rate(
    tmp_path: Path, rate: int, channels: int, seconds: int
) -> None:
    pytest.importorskip("resource")
    content = encoded(noise(0.1, rate, channels), "WAV", "PCM_16", rate)
    size = seconds * rate * channels * 2
    for position, value in ((4, 36 + size), (content.index(b"data") + 4, size)):
        content[position : position + 4] = struct.pack("<I", value)
    path = written(tmp_path / "a.wav", content)
    os.truncate(path, 44 + size)  # a sparse file takes no space
    program = (
        "import resource, sys\nfrom pathlib import Path\nfrom speakerid.audio.decode import decode\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "sound = decode(Path(sys.argv[1]), sample_rate=16_000)\n"
        "print(len(sound.waveform), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True, timeout=120
    )
    samples, grown = map(int, result.stdout.split())
    unit = 1 if sys.platform == "darwin" else 1_024
    assert samples == seconds * RATE
    assert grown * unit < 2.2 * 4 * samples + 2**25  # the samples, their concatenation, and the blocks
