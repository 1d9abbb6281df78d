"""Delay of decoded sound relative to the original, if the file does not state it and decoders keep it.

docs/sound.md has the measurements and what is unknown.
"""

_SAMPLES = {"mp3": 1_105, "mp2": 481, "aac": 1_024, "ac3": 256, "eac3": 256, "amr_nb": 40}
"""Delay by codec, in samples of the recording: that of codec and decoder plus that of LAME's or FFmpeg's encoder."""
_SPEEX = {8_000: 80, 16_000: 223, 32_000: 509}
"""Delay of Speex by sample rate, which determines its mode."""
_OPUS_RATE = 48_000
"""Sample rate of the values in an Opus header, in Hz."""


def lag_seconds(codec: str, sample_rate: int, skipped: float = 0.0, header: bytes = b"") -> float:
    """Delay of a decoded recording relative to the original in seconds; 0 if unknown.

    Args:
        codec: FFmpeg's name of the codec.
        sample_rate: sample rate of the recording, in Hz.
        skipped: seconds that the decoder skipped at the beginning because the file says so.
        header: header of the codec. For Opus, it gives the samples to skip, which the container may contradict.
    """
    if codec == "opus":
        lag = int.from_bytes(header[10:12], "little") / _OPUS_RATE if header.startswith(b"OpusHead") else 0.0
    else:
        lag = (_SPEEX.get(sample_rate, 0) if codec == "speex" else _SAMPLES.get(codec, 0)) / sample_rate
    return max(0.0, lag - skipped)
