"""How much later than the original what a decoder gives begins, where the file does not say it and decoders keep it.

docs/sound.md has the measurements, and what is not known.
"""

_SAMPLES = {"mp3": 1_105, "mp2": 481, "aac": 1_024, "ac3": 256, "eac3": 256, "amr_nb": 40}
"""By codec, in samples of the recording: what codec and decoder need, and LAME's or FFmpeg's encoder adds."""
_SPEEX = {8_000: 80, 16_000: 223, 32_000: 509}
"""The same by sample rate, which for Speex is one of its three modes."""
_OPUS_RATE = 48_000
"""In Hz, in which the header of Opus counts."""


def lag_seconds(codec: str, sample_rate: int, skipped: float = 0.0, header: bytes = b"") -> float:
    """Seconds by which a decoded recording lags behind the original; 0 if not known.

    Args:
        codec: FFmpeg's name of it.
        sample_rate: of the recording, in Hz.
        skipped: seconds that the decoder left out at the beginning because the file says so.
        header: of the codec; Opus says in it what is to be left out, which the container may contradict.
    """
    if codec == "opus":
        lag = int.from_bytes(header[10:12], "little") / _OPUS_RATE if header.startswith(b"OpusHead") else 0.0
    else:
        lag = (_SPEEX.get(sample_rate, 0) if codec == "speex" else _SAMPLES.get(codec, 0)) / sample_rate
    return max(0.0, lag - skipped)
