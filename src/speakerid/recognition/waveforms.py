"""Convert samples from programs: any numeric type, any order of channels.

Shapes: N samples, C channels.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speakerid.audio.resample import HIGHEST_RATE, LOWEST_RATE
from speakerid.base.errors import UserError

Recording = str | os.PathLike[str] | NDArray[Any]
"""A file, or samples; objects that convert to an array (lists, torch tensors) are accepted too."""

MOST_CHANNELS = 64
"""Largest number of channels; a longer axis is not one of channels."""
LOUDEST = 10.0
"""Largest float sample that can be meant to be in [-1, 1]; decoders exceed it slightly."""
QUIET_INTEGERS = 2**15
"""int32 samples up to here were 16-bit integers, which scaling by type would turn to silence."""
_SCALES = {np.dtype(np.int8): 2.0**7, np.dtype(np.int16): 2.0**15, np.dtype(np.int32): 2.0**31}


def path_of(recording: object) -> Path | None:
    """Path of a recording in a file; None for samples."""
    if isinstance(recording, str | os.PathLike):
        return Path(os.fsdecode(recording))
    return None


def several(recordings: Iterable[Recording] | Recording) -> Sequence[Recording]:
    """List of recordings; a single one need not be in a list."""
    if path_of(recordings) is not None or isinstance(recordings, np.ndarray) or hasattr(recordings, "detach"):
        return [recordings]  # type: ignore[list-item]
    return list(recordings)  # type: ignore[arg-type]


def rate_of(sample_rate: object) -> int | None:
    """Check a sample rate in Hz; None stays.

    Raises:
        UserError: the rate is invalid.
    """
    if sample_rate is None:
        return None
    number = isinstance(sample_rate, int | float | np.integer | np.floating) and not isinstance(sample_rate, bool)
    rate = float(sample_rate) if number else math.nan  # type: ignore[arg-type]
    if not rate.is_integer() or not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise UserError(
            f"sample_rate: found {sample_rate!r:.40}, expected {LOWEST_RATE:,} to {HIGHEST_RATE:,} Hz as a number"
        )
    return int(rate)


def waveform_of(samples: object) -> NDArray[np.float32]:
    """Convert samples to (C, N) float32 in [-1, 1].

    Integers are scaled by their type: int8, int16, int32, and uint8 around 128. 24-bit integers in int32 cannot be
    distinguished from 32-bit ones and come out 48 dB quieter, which does not change any answer.

    Args:
        samples: (N,), (C, N) or (N, C); the shorter axis is that of the channels.

    Raises:
        UserError: they are not samples.
    """
    array = _as_array(samples)
    if array.ndim not in (1, 2):
        raise UserError(
            f"samples: found an array of shape {array.shape}, expected (N,), (channels, N) or (N, channels)"
        )
    scaled = _scaled(array)
    if scaled.ndim == 1 or not scaled.size:
        return scaled.reshape(1, -1)
    if scaled.shape[0] > scaled.shape[1]:
        scaled = scaled.T
    channels, length = scaled.shape
    if channels == length or channels > MOST_CHANNELS:
        raise UserError(
            f"samples: found an array of shape {array.shape}, in which channels cannot be distinguished from samples; "
            f"expected (channels, N) with up to {MOST_CHANNELS} channels"
        )
    return scaled


def _as_array(samples: object) -> NDArray[Any]:
    if isinstance(samples, bytes | bytearray | memoryview):
        raise UserError(
            "samples: found raw bytes, expected an array; numpy.frombuffer makes one, or write a file first"
        )
    try:
        array = np.asarray(_without_torch(samples))
    except (ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"samples: found {type(samples).__name__}, expected an array of numbers ({error})") from error
    if array.ndim == 0 or array.dtype.kind not in "iuf":
        found = f"an array of {array.dtype}" if isinstance(samples, np.ndarray) else type(samples).__name__
        raise UserError(f"recording: found {found}, expected a path, or an array of samples and their sample_rate")
    return array


def _without_torch(samples: Any) -> Any:
    """Samples on the CPU, in a type that NumPy has, if they are a tensor of PyTorch; it is not imported for that."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(samples, torch.Tensor):
        return samples
    samples = samples.detach().cpu()
    return samples.float() if samples.dtype is torch.bfloat16 else samples


def _scaled(array: NDArray[Any]) -> NDArray[np.float32]:
    if array.dtype.kind == "f":
        peak = float(np.abs(array).max(initial=0))
        if math.isfinite(peak) and peak > LOUDEST:
            raise UserError(
                f"samples: found floats up to {peak:g}, expected [-1, 1]; divide 16-bit values by 32768, or hand over "
                "the integers"
            )
        return array.astype(np.float32)
    if array.dtype == np.uint8:
        return np.asarray(array / np.float32(128) - 1, np.float32)
    scale = _SCALES.get(array.dtype.newbyteorder("="))
    if scale is None:
        raise UserError(
            f"samples: found {array.dtype}, which has no known full scale; expected int16, int32, uint8 or floats "
            "in [-1, 1]"
        )
    if scale == 2.0**31 and 0 < int(np.abs(array.astype(np.int64)).max(initial=0)) <= QUIET_INTEGERS:
        raise UserError("samples: found 16-bit values in int32; convert them by .astype(numpy.int16)")
    return np.asarray(array / scale, np.float32)
