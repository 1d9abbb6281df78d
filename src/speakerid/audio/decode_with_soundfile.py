"""Decode with libsndfile: WAV, FLAC, Ogg (Vorbis, Opus), MP3, AIFF, AU, CAF and others."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import soundfile
from numpy.typing import NDArray

from speakerid.audio import mpeg_frames as mpeg
from speakerid.audio.concatenated import STREAMED, Part, Window, other_kind_follows
from speakerid.audio.lags import lag_seconds
from speakerid.audio.recording import BLOCK, Recording, UnknownFormat
from speakerid.base.errors import UserError
from speakerid.base.extras import install

SOUNDFILE_EXTENSIONS = (
    ".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".mp2", ".aif", ".aiff", ".aifc", ".au", ".snd",
    ".caf", ".w64", ".rf64", ".voc", ".sph", ".nist",
)  # fmt: skip
LAST_PAGE = 60
"""Seconds that exceed the 64 kB of an Ogg page at any bit rate for speech."""
TOLERANCE = 2_304
"""Tolerance in samples, two MP3 frames, for different counts of decoders."""
MAX_BLOCK = 4_096
"""Maximum number of samples in a block of ADPCM or GSM in WAV."""
_MPEG = {"MPEG_LAYER_II": "mp2", "MPEG_LAYER_III": "mp3"}
"""Names of codecs in libsndfile and in FFmpeg."""
UNKNOWN = 2**62
"""Number of samples from which a length is unknown; libsndfile reports more for a FLAC written to a pipe."""


@contextmanager
def open_with_soundfile(part: Part) -> Iterator[Recording]:
    """Open a recording with libsndfile, which detects the format by content.

    Raises:
        UnknownFormat: libsndfile cannot read it, or only a part.
    """
    try:
        sound = _open(part)
    except soundfile.LibsndfileError as error:
        raise UnknownFormat(f"cannot be decoded: {' '.join(error.error_string.split())}") from error
    with sound:
        estimated = sound.subtype.startswith("MPEG_LAYER") and _is_estimate(part, sound)
        header_length = _header_length(part, sound)
        if estimated:
            length, header_length = None, header_length if header_length > sound.frames else None
        else:
            length = None if sound.frames >= UNKNOWN else _unpadded_length(part, sound)
            header_length = max(length, header_length) if length and header_length > sound.frames else length

        def blocks(first: int) -> Iterator[NDArray[np.float32]]:
            done = 0
            try:
                for position, block in _blocks(sound, first, length or sound.frames):
                    done = position
                    yield block
            except soundfile.LibsndfileError as error:
                raise recording.truncation_error(sound.tell() if sound.can_seek() else done) from error
            if (estimated or sound.format == "OGG") and _position(part, sound) < 0.95 * part.size:
                raise UserError(f"only its first {done / sound.samplerate:.2f} s can be decoded; convert it to FLAC")
            if sound.format == "FLAC" and other_kind_follows(part, _position(part, sound)):
                raise UserError(
                    f"a recording of another kind follows after {done / sound.samplerate:.2f} s; split the file"
                )

        recording = Recording(sound.samplerate, sound.channels, length, header_length, blocks, _lag(part, sound))
        yield recording


def _blocks(sound: "_SequentialFile", first: int, frames: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield blocks from a position, each with the position after it."""
    done, most = 0, max(1, BLOCK // sound.channels)
    start = _seekable_before(sound, first)
    if start and len(sound.read(1, dtype="float32")):  # libvorbis crashes when seeking in undecodable data
        done = sound.seek(start)
    while (count := min(frames - done, most)) > 0:
        block = sound.read(count, dtype="float32", always_2d=True)
        skip = max(0, first - done)
        done += len(block)
        yield done, np.asarray(block[skip:], np.float32)
        if len(block) < count:
            return


class _SequentialFile(soundfile.SoundFile):
    """File that is read sequentially. Normally soundfile seeks after every read, which is audible in MP3."""

    def seekable(self) -> bool:
        return False

    def can_seek(self) -> bool:
        return super().seekable()


def _seekable_before(sound: _SequentialFile, first: int) -> int:
    """Last position up to `first` that can be sought exactly."""
    if not sound.can_seek() or first >= sound.frames:
        return 0
    if sound.subtype == "VORBIS":  # in the last page of Ogg, libsndfile lands up to a few hundred samples off
        return max(0, min(first, sound.frames - LAST_PAGE * sound.samplerate))
    return first


def _open(part: Part) -> _SequentialFile:
    sound = _SequentialFile(part.source(), closefd=False)
    if sound.frames or sound.format not in ("WAV", "WAVEX") or not soundfile.check_format("RAW", sound.subtype):
        return sound
    # A recorder that was killed leaves a length of 0 in the header.
    size = part.read(2**16).find(b"data\0\0\0\0")
    if size < 0:
        return sound
    raw = (sound.samplerate, sound.channels, sound.subtype, "LITTLE", "RAW")
    return _SequentialFile(part.source(size + 8), "r", *raw, closefd=False)


def _header_length(part: Part, sound: _SequentialFile) -> int:
    """Length stated in the header; libsndfile corrects it by the file size and logs the difference."""
    length = sound.frames
    if sound.format in ("FLAC", "OGG", "MP3"):
        return length  # not corrected
    if sound.format == "NIST":
        claim = re.search(rb"\nsample_count -i (\d+)", part.read(1024))
        return max(length, int(claim[1])) if claim else length
    sizes = re.search(r"^ *(?:data|SSND|Data Size|riff|Riff size) *: (\d+) \(should be (\d+)\)", sound.extra_info, re.M)
    claimed, there = (int(size) for size in sizes.groups()) if sizes else (0, 0)
    return max(length, length * claimed // there) if there and claimed < STREAMED else length


def _unpadded_length(part: Part, sound: _SequentialFile) -> int:
    """Number of samples without padding in the last block of ADPCM or GSM in WAV, from the `fact` chunk."""
    if sound.format not in ("WAV", "WAVEX"):
        return sound.frames
    fact = re.search(rb"fact\x04\x00\x00\x00(....)", part.read(256), re.DOTALL)
    samples = int.from_bytes(fact[1], "little") if fact else 0
    return samples if 0 < sound.frames - samples < MAX_BLOCK else sound.frames


def _lag(part: Part, sound: _SequentialFile) -> float:
    """Delay in seconds, see `lag_seconds`."""
    codec = _MPEG.get(sound.subtype, "")
    counted = codec == "mp3" and mpeg.has_frame_count(part.read, _mpeg_start(part, sound))
    return 0.0 if counted else lag_seconds(codec, sound.samplerate)


def _mpeg_start(part: Part, sound: _SequentialFile) -> int:
    """First byte of MPEG audio with its tags, which may be inside a WAV."""
    return 0 if sound.format == "MP3" else part.read(2**16).find(b"data") + 8


def _is_estimate(part: Part, sound: _SequentialFile) -> bool:
    """Whether libsndfile estimates the length of an MP3 from first frame and size because it has no frame count.

    Raises:
        UnknownFormat: the estimate is too short; libsndfile would stop there.
    """
    counted = part.samples
    if sound.format != "MP3":  # MP3 in WAV
        data = _mpeg_start(part, sound)
        stream = next(mpeg.streams(lambda count, first: part.read(count, data + first), part.size - data), None)
        counted = stream and stream.samples
    if counted is None:
        return not mpeg.has_frame_count(part.read)
    if sound.frames < counted - TOLERANCE:
        raise UnknownFormat(
            f"only its first {sound.frames / sound.samplerate:.2f} s can be decoded; convert it to FLAC, "
            f"or install what reads all of it: {install('av')}"
        )
    return True


def _position(part: Part, sound: _SequentialFile) -> int:
    """Position in bytes up to which a part was read."""
    source = sound.name
    return source.tell() if isinstance(source, Window) else os.lseek(part.file.fileno(), 0, os.SEEK_CUR)
