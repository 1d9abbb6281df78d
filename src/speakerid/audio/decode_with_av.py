"""Decode with FFmpeg through PyAV (the extra `av`): m4a, aac, webm, mp4, wma, amr and others."""

import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from speakerid.audio.concatenated import Part
from speakerid.audio.lags import lag_seconds
from speakerid.audio.recording import BLOCK, Recording, UnknownFormat
from speakerid.base.errors import UserError
from speakerid.base.extras import install

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet

AV_EXTENSIONS = (
    ".m4a", ".m4b", ".aac", ".mp4", ".mov", ".webm", ".mka", ".mkv", ".wma", ".amr", ".3gp", ".3g2", ".ac3", ".ape",
    ".wv", ".spx",
)  # fmt: skip
PROTECTED = ("drms", "enca", "aavd")
"""Codec tags of encrypted sound in MP4: iTunes, Common Encryption, Audible."""
PREROLL = 0.5
"""Seconds to decode before a segment, because codecs depend on earlier frames."""
AV_FORMATS = "mov,matroska,aac,asf,amr,ac3,eac3,ape,wv,ogg,mp3,wav,w64,aiff,caf,au,flac"
"""Allowed formats of FFmpeg: only those with sound, because others, such as playlists, can open other files."""


@contextmanager
def open_with_av(part: Part, extension: str) -> Iterator[Recording]:
    """Open a recording with FFmpeg.

    Raises:
        UserError: FFmpeg cannot read it, or PyAV is not installed.
    """
    try:
        import av
        from av.error import FFmpegError
    except ImportError as error:
        reason = f"cannot be decoded: {extension} needs PyAV; convert it to FLAC, or {install('av')}"
        raise UserError(reason) from error
    # Accept metadata that is not valid UTF-8, as PyAV does by default from version 19.
    lenient: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
    try:
        with av.open(part.stream(), options={"format_whitelist": AV_FORMATS}, **lenient) as container:
            yield _first_track(container)
    except FFmpegError as error:
        raise UnknownFormat(f"cannot be decoded: {error.strerror}") from error


def _first_track(container: "InputContainer") -> Recording:
    from av import AudioResampler
    from av.error import FFmpegError, PatchWelcomeError

    stream = _sound_stream(container)
    packet, frames = _decode(container, stream)
    head = next(frames, None)
    if head is None:
        raise UserError("holds no samples")
    rate, channels = head.sample_rate, head.layout.nb_channels  # HE-AAC decodes to twice the rate in its header

    def samples(duration: int) -> int:
        return round(duration * (stream.time_base or 0) * rate)

    indexed = "mov" in container.format.name or "matroska" in container.format.name
    origin = head.pts or 0
    header_length = samples(stream.duration) if indexed and stream.duration else None

    def decoded(first: int) -> tuple[Iterator["AudioFrame"], int]:
        """Frames, and the number of samples to skip in them."""
        if not indexed or first < PREROLL * rate or not stream.time_base:  # seeking is inexact without an index
            return itertools.chain([head], frames), first
        container.seek(origin + round((first / rate - PREROLL) / stream.time_base), stream=stream)
        later = container.decode(stream)
        nearest = next(later, None)
        if nearest is None:
            return iter(()), 0
        return itertools.chain([nearest], later), first - samples((nearest.pts or 0) - origin)

    def blocks(first: int) -> Iterator[NDArray[np.float32]]:
        done = first
        convert = AudioResampler(format="flt")  # interleaved: PyAV fails with more than eight planes
        try:
            following, skip = decoded(first)
            for block in _blocks(part for frame in following for part in convert.resample(frame)):
                yield np.asarray(block[skip:], np.float32)
                done += max(0, len(block) - skip)
                skip = max(0, skip - len(block))
        except PatchWelcomeError as error:  # for example AMR with discontinuous transmission, as SoX writes it
            raise UserError(
                f"uses a feature that FFmpeg cannot decode after {done / rate:.2f} s; convert it to FLAC"
            ) from error
        except FFmpegError as error:
            raise recording.truncation_error(done) from error
        except ValueError as error:  # the conversion needs a constant layout and rate
            raise UserError(f"changes its channels or sample rate after {done / rate:.2f} s") from error

    recording = Recording(rate, channels, header_length, header_length, blocks, _lag(stream, packet, head))
    return recording


def _sound_stream(container: "InputContainer") -> "AudioStream":
    """First audio track.

    Raises:
        UserError: there is none, or it cannot be decoded.
    """
    if not container.streams.audio:
        raise UserError("holds no sound" + (", only a picture" if container.streams.video else ""))
    stream = container.streams.audio[0]
    if stream.codec_context is None:  # possible despite PyAV's types
        raise UserError("cannot be decoded: its codec is unknown to FFmpeg; convert it to FLAC")
    if _codec_tag(stream) in PROTECTED:
        raise UserError("is copy-protected (DRM); get a file without DRM from where you bought it")
    return stream


def _decode(
    container: "InputContainer", stream: "AudioStream"
) -> tuple["Packet[AudioStream] | None", Iterator["AudioFrame"]]:
    """First packet, and all frames."""
    packets = container.demux(stream)
    first = next(packets, None)
    following = packets if first is None else itertools.chain([first], packets)
    return first, (frame for packet in following for frame in packet.decode())


def _codec_tag(stream: "AudioStream") -> str:
    """Codec tag, four letters in MP4; empty if it is a number, as in WAV, which PyAV fails to decode as ASCII."""
    try:
        return stream.codec_context.codec_tag
    except UnicodeDecodeError:
        return ""


def _lag(stream: "AudioStream", packet: "Packet[AudioStream] | None", head: "AudioFrame") -> float:
    """Delay in seconds, see `lag_seconds`.

    Args:
        stream: stream being decoded.
        packet: first packet.
        head: first frame; it is later than the packet by what the decoder skipped.
    """
    codec = stream.codec_context.codec.canonical_name
    if codec == "aac" and stream.profile != "LC":
        return 0.0  # not measured: HE-AAC adds the delay of its bandwidth extension
    skipped = 0.0
    if packet and packet.pts is not None and head.pts is not None:
        skipped = float((head.pts - packet.pts) * (stream.time_base or 0))
    return lag_seconds(codec, head.sample_rate, skipped, stream.codec_context.extradata or b"")


def _blocks(frames: Iterable["AudioFrame"]) -> Iterator[NDArray[np.float32]]:
    """Yield (n, channels) samples of interleaved frames, several frames at a time."""
    held, count = list[NDArray[np.float32]](), 0
    for frame in frames:
        samples = np.asarray(frame.to_ndarray(), np.float32)
        held.append(samples.reshape(-1, frame.layout.nb_channels))
        count += held[-1].size
        if count >= BLOCK:
            yield np.concatenate(held)
            held, count = [], 0
    if held:
        yield np.concatenate(held)
