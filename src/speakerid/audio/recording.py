"""Recordings opened for decoding: by libsndfile (soundfile) what it knows, by FFmpeg (PyAV, the extra `av`) the rest.

Both say what they know of the length before they decode, and then decode in blocks. Lengths and positions count the
samples of one channel.
"""

import itertools
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from speakerid.errors import UserError
from speakerid.extras import install

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.container import InputContainer

BLOCK = 2**18
"""Samples, of all channels together, that libsndfile decodes at a time."""
FRAMES = 64
"""Frames, of about a thousand samples each, that FFmpeg decodes at a time."""
PREROLL = 0.5
"""Seconds decoded before a stretch, in which a codec that builds on earlier frames finds its feet."""
LAST_PAGE = 60
"""Seconds; more than the 64 kB of a page of Ogg hold at any bit rate for speech."""
STREAMED = 0x7FFF_0000
"""Bytes. Programs that write WAV into a pipe, not knowing its length, put the largest one, from here on."""
UNKNOWN = 2**62
"""Samples; libsndfile's length of a FLAC that was written into a pipe lies beyond."""
AV_FORMATS = "mov,matroska,aac,asf,amr,ac3,eac3,ape,wv,ogg,mp3,wav,w64,aiff,caf,au,flac"
"""Of FFmpeg's formats those that hold sound and nothing else; a playlist would make it open other files."""


@dataclass(frozen=True, slots=True)
class Recording:
    """An open file.

    Attributes:
        sample_rate: in Hz.
        channels: of the file.
        length: what can be read, where that is known before reading.
        promised: what the header claims, where it does; more than `length` in a file that is cut off.
        blocks: (n, channels) float32 samples one after the other, from a position on.
    """

    sample_rate: int
    channels: int
    length: int | None
    promised: int | None
    blocks: Callable[[int], Iterator[NDArray[np.float32]]]

    def cut_off(self, found: int) -> UserError:
        """The error of a recording that cannot be read beyond a position."""
        place = f"{found / self.sample_rate:.2f} s"
        if self.promised is None:
            return UserError(f"is cut off or damaged {place} from its beginning; copy or record it again")
        promised = f"{self.promised / self.sample_rate:.2f} s"
        return UserError(f"is cut off or damaged: found {place} of the {promised} it promises; copy or record it again")


class UnknownToSoundfile(UserError):
    """libsndfile does not read it, or not all of it; FFmpeg may."""


@contextmanager
def open_with_soundfile(file: BinaryIO) -> Iterator[Recording]:
    """A file that libsndfile reads; it goes by the contents.

    Raises:
        UnknownToSoundfile: it reads nothing, or (raised by `blocks`) only a part.
    """
    try:
        sound = _open(file)
    except soundfile.LibsndfileError as error:
        raise UnknownToSoundfile(f"cannot be decoded: {' '.join(error.error_string.split())}") from error
    guessed = sound.format == "MP3" and not _counts_frames(file)  # from its first frame and its size

    def blocks(first: int) -> Iterator[NDArray[np.float32]]:
        done, most = 0, max(1, BLOCK // sound.channels)
        try:
            start = _seekable_before(sound, first)
            if start and len(sound.read(1, dtype="float32")):  # libvorbis crashes if it seeks where nothing decodes
                done = sound.seek(start)
            while (count := min(sound.frames - done, most)) > 0:
                block = sound.read(count, dtype="float32", always_2d=True)
                yield np.asarray(block[max(0, first - done) :], np.float32)
                done += len(block)
                if len(block) < count:
                    return
        except soundfile.LibsndfileError as error:
            raise recording.cut_off(sound.tell() if sound.can_seek() else done) from error
        if (guessed or sound.format == "OGG") and _unread(file) > 0.05:  # a wrong guess, or two files in one
            raise UnknownToSoundfile(
                f"only its first {done / sound.samplerate:.2f} s can be decoded; convert it to FLAC, "
                f"or install what reads all of it: {install('av')}"
            )

    with sound:
        length = None if guessed or sound.frames >= UNKNOWN else sound.frames
        promised = length and _promised(file, sound, length)
        recording = Recording(sound.samplerate, sound.channels, length, promised, blocks)
        yield recording


class _Forwards(soundfile.SoundFile):
    """Read from front to end. soundfile seeks after every read, at which MP3 stumbles audibly."""

    def seekable(self) -> bool:
        return False

    def can_seek(self) -> bool:
        return super().seekable()


def _seekable_before(sound: _Forwards, first: int) -> int:
    """The last position before `first` that can be sought exactly."""
    if not sound.can_seek() or first >= sound.frames:
        return 0
    if sound.subtype == "VORBIS":  # in the last page of Ogg, libsndfile lands up to a few hundred samples off
        return max(0, min(first, sound.frames - LAST_PAGE * sound.samplerate))
    return first


def _open(file: BinaryIO) -> _Forwards:
    sound = _Forwards(file.fileno(), closefd=False)
    if sound.frames or sound.format not in ("WAV", "WAVEX") or not soundfile.check_format("RAW", sound.subtype):
        return sound
    # A recorder that was stopped hard leaves a length of 0 in front of all its samples.
    size = os.pread(file.fileno(), 2**16, 0).find(b"data\0\0\0\0")
    if size < 0:
        return sound
    os.lseek(file.fileno(), size + 8, os.SEEK_SET)
    raw = (sound.samplerate, sound.channels, sound.subtype, "LITTLE", "RAW")
    return _Forwards(file.fileno(), "r", *raw, closefd=False)


def _promised(file: BinaryIO, sound: _Forwards, length: int) -> int:
    """What the header claims; libsndfile corrects it by what is there, and notes the difference in its log."""
    if sound.format in ("FLAC", "OGG", "MP3"):
        return length  # not corrected
    if sound.format == "NIST":
        claim = re.search(rb"\nsample_count -i (\d+)", os.pread(file.fileno(), 1024, 0))
        return max(length, int(claim[1])) if claim else length
    sizes = re.search(r"^ *(?:data|SSND|Data Size|riff|Riff size) *: (\d+) \(should be (\d+)\)", sound.extra_info, re.M)
    claimed, there = (int(size) for size in sizes.groups()) if sizes else (0, 0)
    return max(length, length * claimed // there) if there and claimed < STREAMED else length


def _counts_frames(file: BinaryIO) -> bool:
    """Whether an MP3 says how many frames it holds: in a Xing, Info (LAME) or VBRI (Fraunhofer) header."""
    start, tag = 0, os.pread(file.fileno(), 10, 0)
    if tag.startswith(b"ID3") and len(tag) == 10:
        start = 10 + sum(byte << shift for byte, shift in zip(tag[6:], (21, 14, 7, 0), strict=True))
    return re.search(rb"Xing|Info|VBRI", os.pread(file.fileno(), 2048, start)) is not None


def _unread(file: BinaryIO) -> float:
    """The share of the file behind the place up to which it was read."""
    return 1 - os.lseek(file.fileno(), 0, os.SEEK_CUR) / os.fstat(file.fileno()).st_size


@contextmanager
def open_with_av(file: BinaryIO, extension: str) -> Iterator[Recording]:
    """A file that FFmpeg reads.

    Raises:
        UserError: it reads nothing, or is not installed; the message then names the extension.
    """
    try:
        import av
        from av.error import FFmpegError
    except ImportError as error:
        reason = f"cannot be decoded: {extension} needs PyAV; convert it to FLAC, or {install('av')}"
        raise UserError(reason) from error
    # A title that is no UTF-8 is no reason to refuse the sound; from 19 on PyAV thinks so too.
    lenient: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
    try:
        with av.open(file, options={"format_whitelist": AV_FORMATS}, **lenient) as container:
            yield _first_track(container)
    except FFmpegError as error:
        raise UserError(f"cannot be decoded: {error.strerror}") from error


def _first_track(container: "InputContainer") -> Recording:
    from av import AudioResampler
    from av.error import FFmpegError

    if not container.streams.audio:
        raise UserError("holds no sound")
    stream = container.streams.audio[0]
    frames = container.decode(stream)
    head = next(frames, None)
    if head is None:
        raise UserError("holds no samples")
    rate, channels = head.sample_rate, head.layout.nb_channels  # HE-AAC decodes to twice the rate of its header

    def samples(duration: int) -> int:
        return round(duration * (stream.time_base or 0) * rate)

    indexed = "mov" in container.format.name or "matroska" in container.format.name
    origin = head.pts or 0
    promised = samples(stream.duration) if indexed and stream.duration else None

    def decoded(first: int) -> tuple[Iterator["AudioFrame"], int]:
        """Frames, and the samples in them before the first one wanted."""
        if not indexed or first < PREROLL * rate or not stream.time_base:  # without an index a seek is a guess
            return itertools.chain([head], frames), first
        container.seek(origin + round((first / rate - PREROLL) / stream.time_base), stream=stream)
        later = container.decode(stream)
        nearest = next(later, None)
        if nearest is None:
            return iter(()), 0
        return itertools.chain([nearest], later), first - samples((nearest.pts or 0) - origin)

    def blocks(first: int) -> Iterator[NDArray[np.float32]]:
        done = first
        convert = AudioResampler(format="flt")  # interleaved: PyAV loses its way in more than eight planes
        try:
            following, skip = decoded(first)
            while few := list(itertools.islice(following, FRAMES)):
                parts = [part.to_ndarray().reshape(-1, channels) for frame in few for part in convert.resample(frame)]
                block = np.concatenate(parts)
                yield np.asarray(block[skip:], np.float32)
                done += max(0, len(block) - skip)
                skip = max(0, skip - len(block))
        except FFmpegError as error:
            raise recording.cut_off(done) from error
        except ValueError as error:  # the conversion takes one layout and one rate
            raise UserError(f"changes its channels or its sample rate after {done / rate:.2f} s") from error

    recording = Recording(rate, channels, promised, promised, blocks)
    return recording
