"""Thousands of damaged recordings through `decode` and `LogMel` give finite features or one line.

They are read in a separate process with limited memory and an alarm, so that a crash or a hang of a
decoder fails the test with the number of the file. `python tests/audio/test_fuzz.py FIRST COUNT FOLDER` reads the files
FIRST to FIRST + COUNT and leaves the last one in FOLDER.
"""

import io
import resource
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile

FILES, SECONDS_EACH, MEMORY = 2_000, 10, 2**30
RATE = 16_000

SUBTYPES = {
    "WAV": ("PCM_U8", "PCM_16", "PCM_24", "FLOAT", "DOUBLE", "ULAW", "IMA_ADPCM", "MS_ADPCM", "GSM610", "G721_32"),
    "WAVEX": ("PCM_16", "FLOAT"), "RF64": ("PCM_16",), "W64": ("PCM_16", "ALAW"), "NIST": ("PCM_16",),
    "AIFF": ("PCM_16", "PCM_S8", "FLOAT", "IMA_ADPCM", "DWVW_16"), "AU": ("PCM_16", "G723_24", "FLOAT"),
    "CAF": ("PCM_16", "ALAC_16"), "VOC": ("PCM_U8",), "FLAC": ("PCM_16", "PCM_S8", "PCM_24"),
    "OGG": ("VORBIS", "OPUS"), "MP3": ("MPEG_LAYER_III",), "SVX": ("PCM_16",), "PAF": ("PCM_24",), "IRCAM": ("PCM_16",),
    "PVF": ("PCM_16",), "SDS": ("PCM_16",), "HTK": ("PCM_16",), "MAT4": ("DOUBLE",), "MAT5": ("FLOAT",),
    "AVR": ("PCM_16",), "MPC2K": ("PCM_16",),
}  # fmt: skip
CODECS = {
    ".m4a": ("ipod", "aac"), ".aac": ("adts", "aac"), ".mp4": ("mp4", "alac"), ".webm": ("webm", "libopus"),
    ".mkv": ("matroska", "pcm_s16le"), ".wma": ("asf", "wmav2"), ".mp2": ("mp2", "mp2"), ".ac3": ("ac3", "ac3"),
    ".wv": ("wv", "wavpack"),
}  # fmt: skip


@cache
def whole_files() -> list[tuple[str, bytes]]:
    """Extension and content of a recording in every format that can be written."""
    samples = 0.1 * np.random.default_rng(0).standard_normal((RATE // 2, 2))
    files = list[tuple[str, bytes]]()
    for kind, subtypes in SUBTYPES.items():
        for subtype in subtypes:
            for channels in (1, 2):
                if soundfile.check_format(kind, subtype) and not (channels == 2 and kind in ("HTK", "WVE")):
                    buffer = io.BytesIO()
                    try:
                        soundfile.write(buffer, samples[:, :channels], RATE, subtype, format=kind)
                    except soundfile.LibsndfileError:  # a subtype for mono only
                        continue
                    files.append((f".{kind.lower()}", buffer.getvalue()))
    for subtype in (*6 * ("VORBIS",), "OPUS"):  # long enough for seeking, which may crash libvorbis
        buffer = io.BytesIO()
        soundfile.write(buffer, np.zeros(70 * 8_000), 8_000, subtype, format="OGG")
        files.append((".ogg", buffer.getvalue()))
    if find_spec("av"):
        files += [(extension, _encode(samples, *codec)) for extension, codec in CODECS.items()]
    return files


def _encode(samples: np.ndarray, container_format: str, codec: str) -> bytes:
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=48_000)
        stream.layout, stream.bit_rate = "stereo", 96_000
        frame = av.AudioFrame.from_ndarray(samples.T.astype(np.float32).copy(), format="fltp", layout="stereo")
        frame.sample_rate = 48_000
        context = stream.codec_context
        convert = av.AudioResampler(context.format, "stereo", 48_000, context.frame_size)
        for part in [*convert.resample(frame), *convert.resample(None), None]:
            container.mux(stream.encode(part))
    return buffer.getvalue()


def flip_bits(content: bytearray, rng: np.random.Generator) -> None:
    for position in rng.integers(0, len(content), rng.integers(1, 40)):
        content[position] ^= 1 << rng.integers(8)


def flip_bits_of_the_header(content: bytearray, rng: np.random.Generator) -> None:
    for position in rng.integers(0, min(len(content), 200), rng.integers(1, 8)):
        content[position] ^= 1 << rng.integers(8)


def lie(content: bytearray, rng: np.random.Generator) -> None:
    """Replace sizes, rates and counts in the header by extreme numbers."""
    width = int(rng.choice([2, 4, 8]))
    value = int(rng.choice([0, 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**62])) % 2 ** (8 * width)
    position = rng.integers(0, min(len(content), 120))
    content[position : position + width] = value.to_bytes(width, "little" if rng.random() < 0.5 else "big")


def truncate(content: bytearray, rng: np.random.Generator) -> None:
    del content[rng.integers(1, len(content)) :]


def cut_out(content: bytearray, rng: np.random.Generator) -> None:
    first, last = sorted(rng.integers(0, len(content), 2))
    del content[first : max(last, 1)]


def repeat(content: bytearray, rng: np.random.Generator) -> None:
    first, last = sorted(rng.integers(0, len(content), 2))
    content[last:last] = content[first:last] * int(rng.integers(1, 5))


def noise_behind_the_header(content: bytearray, rng: np.random.Generator) -> None:
    position = min(len(content), int(rng.integers(16, 400)))
    content[position:] = rng.bytes(len(content) - position)


def head_of_another(content: bytearray, rng: np.random.Generator) -> None:
    _, other = whole_files()[rng.integers(len(whole_files()))]
    position = rng.integers(4, 300)
    content[:position] = other[:position]


def noise_alone(content: bytearray, rng: np.random.Generator) -> None:
    content[:] = rng.bytes(int(rng.integers(1, 5_000)))


MUTATIONS: list[Callable[[bytearray, np.random.Generator], None]] = [
    flip_bits, flip_bits_of_the_header, flip_bits_of_the_header, lie, lie, lie, truncate, cut_out, repeat,
    noise_behind_the_header, head_of_another, noise_alone,
]  # fmt: skip


def damaged(seed: int) -> tuple[str, bytes]:
    """Extension and content of one damaged file."""
    rng = np.random.default_rng(seed)
    extension, whole = whole_files()[rng.integers(len(whole_files()))]
    content = bytearray(whole)
    for mutation in rng.choice(len(MUTATIONS), rng.integers(1, 4)):
        MUTATIONS[mutation](content, rng)
        content = content or bytearray(1)
    if content.startswith(b"OggS") and rng.random() < 0.8:
        seal(content)  # else the reader drops every damaged page
    if rng.random() < 0.1:
        extension = whole_files()[rng.integers(len(whole_files()))][0]
    return extension, bytes(content)


def seal(content: bytearray) -> None:
    """Correct the checksum of every Ogg page (RFC 3533)."""
    start = 0
    while content[start : start + 4] == b"OggS" and start + 27 <= len(content):
        segments = content[start + 26]
        end = start + 27 + segments + sum(content[start + 27 : start + 27 + segments])
        content[start + 22 : start + 26] = bytes(4)
        content[start + 22 : start + 26] = _checksum(content[start:end]).to_bytes(4, "little")
        start = end


@cache
def _checksums() -> list[int]:
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value >> 31 else 0)) & 0xFFFFFFFF
        table.append(value)
    return table


def _checksum(page: bytearray) -> int:
    value = 0
    for byte in page:
        value = (value << 8 & 0xFFFFFFFF) ^ _checksums()[value >> 24 ^ byte]
    return value


def read_damaged_files(first: int, count: int, folder: Path) -> None:
    """Write the number of every file to `progress` in the folder before it is read, and the results at the end."""
    from speakerid.audio.decode import decode
    from speakerid.audio.log_mel import LogMel
    from speakerid.base.errors import UserError
    from speakerid.config import FeatureConfig

    warnings.simplefilter("error")
    log_mel = LogMel(FeatureConfig())
    whole_files()
    log_mel(np.random.default_rng(0).standard_normal(10 * RATE, np.float32), RATE)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    readable, progress = 0, folder / "progress"  # not to standard output, because libsndfile prints there
    for seed in range(first, first + count):
        progress.write_text(str(seed), encoding="ascii")
        extension, content = damaged(seed)
        path = folder / f"damaged{extension}"
        path.write_bytes(content)
        segment = (0.1, 0.3) if seed % 3 == 0 else (None, None)
        signal.alarm(SECONDS_EACH)  # no handler, because none would run inside a decoder: the process ends
        refusal = ""
        try:
            sound = decode(path, *segment)
            assert 0 <= sound.clipped <= 1
            features = log_mel(sound.waveform, sound.sample_rate)
            assert len(features)
            assert np.isfinite(features).all()
            readable += 1
        except UserError as error:
            refusal = str(error)
        assert "\n" not in refusal
        signal.alarm(0)
        path.unlink()
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    progress.write_text(f"all {count} read {readable} grown {grown}", encoding="ascii")


@pytest.mark.nightly
def test_damaged_recordings_give_finite_features_or_one_line(tmp_path: Path) -> None:
    errors, progress = tmp_path / "errors.txt", tmp_path / "progress"
    with errors.open("wb") as output:
        command = [sys.executable, __file__, "0", str(FILES), str(tmp_path)]
        child = subprocess.run(command, stdout=output, stderr=output, timeout=280, check=False)
    reached = progress.read_text(encoding="ascii") if progress.exists() else "none"
    complaint = errors.read_text(encoding="utf-8", errors="replace")[-3_000:]
    # A negative status is a signal: -11 for a crash, -14 for a hang of over ten seconds.
    assert child.returncode == 0, f"file {reached} ended the process: {child.returncode}\n{complaint}"
    _, count, _, readable, _, grown = reached.split()
    assert int(count) == FILES
    assert FILES * 0.1 < int(readable) < FILES * 0.9  # otherwise the files are not damaged enough
    assert int(grown) < MEMORY // 4


if __name__ == "__main__":
    read_damaged_files(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
