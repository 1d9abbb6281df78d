"""Lag of a marker and length of a recording when the project decodes it; see docs/sound.md."""

import shutil
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from scipy.signal import butter, correlate, sosfilt

from encoding import encode
from speakerid.audio.decode import decode, lag
from speakerid.audio.resample import resample
from speakerid.base.errors import UserError

SAMPLES = 24_001
"""Number of samples per file; not a multiple of any codec's frame."""

SOUNDFILE = {
    "wav": ("WAV", "PCM_16", 16_000, 0, 0), "flac": ("FLAC", "PCM_16", 16_000, 0, 0),
    "ogg": ("OGG", "VORBIS", 16_000, 0, 0), "opus": ("OGG", "OPUS", 16_000, 0, 0),
    "mp3 at 16 kHz": ("MP3", "MPEG_LAYER_III", 16_000, 0, 0),
    "mp3 at 44.1 kHz": ("MP3", "MPEG_LAYER_III", 44_100, 0, 0),
    "alac": ("CAF", "ALAC_16", 16_000, 0, 0), "μ-law": ("WAV", "ULAW", 8_000, 0, 0),
    "ima": ("WAV", "IMA_ADPCM", 8_000, 0, 239), "ms": ("WAV", "MS_ADPCM", 8_000, 0, 0),
    "gsm": ("WAV", "GSM610", 8_000, 0, 0), "g721": ("WAV", "G721_32", 8_000, 0, 0),
    "g721 in AU": ("AU", "G721_32", 8_000, 0, 119), "gsm in AIFF": ("AIFF", "GSM610", 8_000, 0, 0),
}  # fmt: skip
"""Container, codec, sample rate; lag and surplus samples, in samples of the file."""

FFMPEG = {
    ("mp3", "libmp3lame", 16_000): (0, 0),
    ("mp3", "libmp3lame -write_xing 0", 16_000): (1_105, 1_343),
    ("wav", "libmp3lame", 16_000): (1_105, 1_343),
    ("m4a", "aac", 16_000): (0, 575), ("m4a", "aac", 44_100): (0, 575),
    ("mkv", "aac", 16_000): (1_024, 1_599), ("aac", "aac", 16_000): (1_024, 1_599),
    ("m4a", "alac", 16_000): (0, 0), ("wv", "wavpack", 16_000): (0, 0), ("flac", "flac", 16_000): (0, 0),
    ("ogg", "libvorbis", 16_000): (0, 0), ("opus", "libopus", 16_000): (0, 0),
    ("mkv", "libmp3lame", 16_000): (1_105, 1_105), ("mp4", "libmp3lame", 44_100): (0, 238),
    ("mp4", "aac -movflags +frag_keyframe+empty_moov", 44_100): (1_024, 1_599),
    ("webm", "libopus", 16_000): (208, 208), ("webm", "libopus", 48_000): (0, 0), ("mp4", "ac3", 48_000): (0, 319),
    ("ac3", "ac3", 48_000): (256, 575), ("eac3", "eac3", 48_000): (256, 575),
    ("mp2", "mp2", 16_000): (481, 191),
    ("spx", "libspeex", 16_000): (223, 319), ("spx", "libspeex", 8_000): (80, 159),
    ("spx", "libspeex", 32_000): (509, 319),
    ("wma", "wmav2", 16_000): (-512, -449), ("wma", "wmav2", 44_100): (-2_048, -1_473),
    ("wav", "adpcm_ima_wav", 8_000): (0, 491), ("wav", "adpcm_ms", 8_000): (0, 431),
    ("wav", "libgsm_ms", 8_000): (0, 319),
}  # fmt: skip
"""Extension, codec with options, and sample rate of files from FFmpeg 5.1; lag and surplus samples."""


@cache
def marker(rate: int) -> NDArray[np.float32]:
    """(SAMPLES,) burst in the speech band after one third, with low noise."""
    rng = np.random.default_rng(1)
    samples = 1e-3 * rng.standard_normal(SAMPLES)
    burst = sosfilt(butter(4, [300, 3_000], "band", fs=rate, output="sos"), rng.standard_normal(SAMPLES // 3))
    samples[SAMPLES // 3 :][: len(burst)] += 0.5 * burst / np.abs(burst).max()
    return samples.astype(np.float32)


def lag_and_excess(path: Path, rate: int) -> tuple[int, int]:
    """Samples by which the marker is later and the recording longer, at the decoded rate."""
    sound = decode(path)
    expected = resample(marker(rate), rate, sound.sample_rate)
    later = int(correlate(sound.waveform, expected, method="fft").argmax()) - (len(expected) - 1)
    return later, len(sound.waveform) - len(expected)


@pytest.mark.parametrize("name", SOUNDFILE)
def test_files_of_soundfile(tmp_path: Path, name: str) -> None:
    container, codec, rate, later, excess = SOUNDFILE[name]
    soundfile.write(tmp_path / "a", marker(rate), rate, codec, format=container)
    assert lag_and_excess(tmp_path / "a", rate) == (later, excess)
    assert lag(tmp_path / "a") == 0


def test_amr(tmp_path: Path) -> None:
    encode(tmp_path / "a.amr", marker(8_000), 8_000, "amr", "libopencore_amrnb")
    assert lag_and_excess(tmp_path / "a.amr", 8_000) == (40, 159)
    assert lag(tmp_path / "a.amr") == 40 / 8_000


def test_mp3_in_wav_at_a_low_bit_rate_is_complete(tmp_path: Path) -> None:
    encode(tmp_path / "a.wav", marker(8_000), 8_000, "wav", "libmp3lame", 8_000)
    assert lag_and_excess(tmp_path / "a.wav", 8_000) == (1_105, 1_343)
    assert lag(tmp_path / "a.wav") == 1_105 / 8_000
    content = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="is truncated or damaged"):
        decode(tmp_path / "a.wav")


@pytest.mark.parametrize("key", FFMPEG, ids=lambda key: " ".join(map(str, key)))
def test_files_of_ffmpeg(tmp_path: Path, key: tuple[str, str, int]) -> None:
    pytest.importorskip("av", reason="needs the extra 'av'")
    if shutil.which("ffmpeg") is None:
        pytest.skip("needs FFmpeg's program")
    version = subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True, check=True).stdout.split()[2]
    if not version.startswith("5.1"):
        pytest.skip(f"the figures are those of FFmpeg 5.1, this is {version}")
    extension, codec, rate = key
    soundfile.write(tmp_path / "a.wav", marker(rate), rate, "PCM_16")
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-i", "a.wav", "-c:a", *codec.split(), f"b.{extension}"]
    subprocess.run(command, cwd=tmp_path, check=True)
    path = tmp_path / f"b.{extension}"
    assert lag_and_excess(path, rate) == FFMPEG[key]
    # Containers count in milliseconds. The decoder of WMA loses an unknown number of samples: see docs/sound.md.
    late = FFMPEG[key][0] / decode(path).sample_rate
    assert lag(path) == pytest.approx(max(0.0, late), abs=5e-4)
