"""Recordings to samples, and back."""

from pathlib import Path

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor

from speakerid.errors import UserError

EXTENSIONS = (".wav", ".flac", ".ogg", ".mp3")


def decode(path: Path) -> tuple[Tensor, int]:
    """Samples and sample rate of a recording.

    Args:
        path: anything soundfile reads: WAV, FLAC, Ogg (Vorbis, Opus), MP3.

    Returns:
        (channels, N) float32 in [-1, 1], and Hz.

    Raises:
        UserError: the file cannot be decoded or holds no samples.
    """
    try:
        with path.open("rb") as file:  # by its descriptor: soundfile wants names to be Unicode
            samples, sample_rate = soundfile.read(file.fileno(), dtype="float32", always_2d=True, closefd=False)
    except (soundfile.SoundFileError, OSError) as error:
        reason = error.error_string if isinstance(error, soundfile.LibsndfileError) else error
        raise UserError(f"cannot be decoded: {' '.join(str(reason).split())}") from error
    if not len(samples):
        raise UserError("holds no samples")
    return torch.from_numpy(samples.T), sample_rate


def write_wav(path: Path, waveform: NDArray[np.float32], sample_rate: int) -> None:
    """Write (N,) samples in [-1, 1] as 16-bit WAV, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, waveform, sample_rate, subtype="PCM_16")
