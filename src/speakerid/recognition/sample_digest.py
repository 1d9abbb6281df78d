"""Digest of a recording's samples, the same for the same sound in any file."""

from __future__ import annotations

from hashlib import blake2b

from speakerid.audio.log_mel import Samples


class SampleDigest:
    """Digest of samples that arrive piece by piece.

    Args:
        sample_rate: sample rate of the samples, in Hz, that of the bundle's features.
    """

    def __init__(self, sample_rate: int) -> None:
        self._hash = blake2b(f"{sample_rate} ".encode(), digest_size=8)

    def update(self, samples: Samples) -> None:
        """Add the next (N,) samples."""
        self._hash.update(samples.tobytes())

    @property
    def value(self) -> int:
        """Digest of all samples, a signed number of 64 bits."""
        return int.from_bytes(self._hash.digest(), "little", signed=True)
