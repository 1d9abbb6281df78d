"""Sound as FFmpeg's encoders in PyAV write it."""

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray


def encode(
    path: Path,
    samples: NDArray[np.float32],
    rate: int,
    form: str,
    codec: str,
    bit_rate: int = 12_200,
    options: Mapping[str, str] | None = None,
) -> None:
    """Write (N,) samples; skips the test where PyAV or its encoder is missing.

    Args:
        path: of the file.
        samples: mono, full scale is 1.
        rate: in Hz.
        form: FFmpeg's name of the container.
        codec: of the encoder.
        bit_rate: bits a second.
        options: of the container.
    """
    av = pytest.importorskip("av", reason="needs the extra 'av'")
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no {codec}")
    with av.open(str(path), "w", format=form, options=dict(options or {})) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.layout, stream.bit_rate = "mono", bit_rate
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        convert = av.AudioResampler(stream.codec_context.format, "mono", rate, stream.codec_context.frame_size or 160)
        for part in [*convert.resample(frame), *convert.resample(None), None]:
            container.mux(stream.encode(part))
