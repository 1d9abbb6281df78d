"""Encode and decode sound with the codecs of telephones, messengers and web pages.

libsndfile provides G.711 and GSM 06.10; FFmpeg provides AMR, Opus and MP3 through PyAV (the extra `av`).

Shapes: N samples.
"""

import importlib.util
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import soundfile
from numpy.typing import NDArray

from speakerid.audio.resample import resample
from speakerid.base.errors import UserError
from speakerid.base.extras import install

if TYPE_CHECKING:
    from av import AudioFrame
    from av.audio.codeccontext import AudioCodecContext

Samples = NDArray[np.float32]

WIDE, NARROW = 16_000, 8_000
"""Sample rates of wideband and telephone speech, in Hz."""


@dataclass(frozen=True)
class Codec:
    """A codec with its settings.

    Attributes:
        name: name of the codec; None for unencoded samples.
        sample_rate: sample rate of the encoded sound, in Hz.
        bit_rate: bits per second, for codecs with several bit rates.
    """

    name: str | None
    sample_rate: int
    bit_rate: int = 0

    @staticmethod
    def draw(rng: np.random.Generator) -> "Codec":
        """Draw a wideband or a telephone codec, with equal probability, at a low bit rate."""
        choices = CODECS[WIDE if rng.random() < 0.5 else NARROW]
        name, bit_rates = choices[rng.integers(len(choices))]
        return Codec(name, WIDE if choices is CODECS[WIDE] else NARROW, int(rng.choice(bit_rates)))


CODECS: dict[int, tuple[tuple[str | None, tuple[int, ...]], ...]] = {
    WIDE: (
        (None, (0,)),
        ("Opus", (8_000, 12_000, 16_000, 24_000)),
        ("MP3", (16_000, 24_000, 32_000)),
    ),
    NARROW: (
        (None, (0,)),
        ("A-law", (0,)),
        ("mu-law", (0,)),
        ("GSM", (0,)),
        ("AMR", (4_750, 5_900, 7_400, 12_200)),
    ),
}
"""Names and bit rates of codecs by sample rate."""
_SUBTYPES = {"A-law": "ALAW", "mu-law": "ULAW", "GSM": "GSM610"}
"""Names of codecs in libsndfile."""
_ENCODERS = {
    "Opus": ("libopus", "opus", "s16"),
    "MP3": ("libmp3lame", "mp3float", "s16p"),
    "AMR": ("libopencore_amrnb", "amrnb", "s16"),
}
"""FFmpeg's encoder, decoder, and sample format of the encoder."""


def check_codecs(option: str) -> None:
    """Raise UserError if a codec is not installed.

    Args:
        option: name of the option that needs codecs, for the message.
    """
    if importlib.util.find_spec("av") is None:
        raise UserError(f"{option}: AMR, Opus and MP3 need PyAV; {install('av')}")


def encode_and_decode(waveform: Samples, sample_rate: int, codec: Codec) -> tuple[Samples, int]:
    """Encode and decode sound.

    Args:
        waveform: (N,) samples in [−1, 1], N > 0.
        sample_rate: sample rate in Hz.
        codec: codec to use.

    Returns:
        The decoded samples and their sample rate. They may be delayed by some milliseconds and be longer.
    """
    samples = np.clip(resample(waveform, sample_rate, codec.sample_rate), -1, 1)
    if codec.name is None:
        return samples, codec.sample_rate
    if subtype := _SUBTYPES.get(codec.name):
        file = io.BytesIO()
        soundfile.write(file, samples, codec.sample_rate, subtype=subtype, format="WAV")
        file.seek(0)
        decoded, rate = soundfile.read(file, dtype="float32")
        return np.asarray(decoded, np.float32), rate
    return _through_ffmpeg(samples, codec)


def _through_ffmpeg(samples: Samples, codec: Codec) -> tuple[Samples, int]:
    """Encode and decode with PyAV, packet by packet, without a container."""
    from av import AudioResampler, CodecContext
    from av.audio.codeccontext import AudioCodecContext

    assert codec.name is not None
    encoder_name, decoder_name, sample_format = _ENCODERS[codec.name]
    encoder, decoder = CodecContext.create(encoder_name, "w"), CodecContext.create(decoder_name, "r")
    assert isinstance(encoder, AudioCodecContext)
    assert isinstance(decoder, AudioCodecContext)
    for context in (encoder, decoder):
        context.sample_rate = codec.sample_rate
        context.layout = "mono"
    encoder.format = sample_format
    encoder.bit_rate = codec.bit_rate
    encoder.open()
    decoder.extradata = encoder.extradata
    packets = [packet for frame in _frames(samples, encoder) for packet in encoder.encode(frame)]
    convert = AudioResampler(format="flt")
    frames = [frame for packet in (*packets, None) for frame in decoder.decode(packet)]
    parts = [part for frame in frames for part in convert.resample(frame)]
    decoded = np.concatenate([np.asarray(part.to_ndarray(), np.float32).ravel() for part in parts])
    return decoded, parts[0].sample_rate


def _frames(samples: Samples, encoder: "AudioCodecContext") -> "Iterator[AudioFrame | None]":
    """Yield 16-bit samples in frames of the encoder's size, the last one padded with silence, then None."""
    from av import AudioFrame

    size = encoder.frame_size
    for start in range(0, len(samples), size):
        block = np.zeros((1, size), np.int16)
        block[0, : len(samples) - start] = np.round(32_767 * samples[start : start + size])
        frame = AudioFrame.from_ndarray(block, format=encoder.format.name, layout="mono")
        frame.sample_rate, frame.pts = encoder.sample_rate, start
        yield frame
    yield None
