"""Frames of recordings for pretrained encoders, which have features of their own.

Shapes: N samples, T frames, M values of a frame.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from speakerid.audio.log_mel import LogMel, Samples, trim
from speakerid.base.errors import UserError
from speakerid.base.extras import install
from speakerid.config import FeatureConfig

Kind = Literal["kaldi80", "kaldi80-povey", "waveform"]
"""Features of pretrained encoders; see `features_of`."""
KINDS: tuple[Kind, ...] = get_args(Kind)
FLOAT_EPSILON = float(np.finfo(np.float32).eps)
"""Smallest power of Kaldi's filterbank."""
SCALES = {"kaldi80": 2.0**15, "kaldi80-povey": 1.0}
WINDOWS = {"kaldi80": "hamming", "kaldi80-povey": "povey"}


class Frontend(Protocol):
    """Turns samples into (T, M) frames, without pauses; see `LogMel`, which is one."""

    @property
    def features(self) -> FeatureConfig: ...

    def without_trimming(self) -> Frontend: ...

    def __call__(self, waveform: Samples, sample_rate: int) -> NDArray[np.float32]: ...


def features_of(kind: Kind, sample_rate: int) -> FeatureConfig:
    """Settings of the frames of a kind, 100 per second.

    `kaldi80`: Kaldi's 80 log-mel bands from 20 Hz of 25 ms, Hamming window, samples in the scale of 16-bit integers, as
    WeSpeaker computes them. `kaldi80-povey`: the same with Povey's window and samples in [-1, 1], as 3D-Speaker does.
    `waveform`: samples, of which a frame is 10 ms.
    """
    hop = round(sample_rate / 100)
    if kind == "waveform":
        return FeatureConfig(sample_rate=sample_rate, window_length=hop, hop_length=hop, n_mels=hop, f_min=0)
    return FeatureConfig(
        sample_rate=sample_rate, window_length=round(sample_rate / 40), hop_length=hop, n_mels=80, f_min=20.0,
        floor=FLOAT_EPSILON,
    )  # fmt: skip


def frontend_of(features: FeatureConfig, kind: Kind | None) -> Frontend:
    """Front end of settings; `LogMel` without a kind.

    Raises:
        UserError: kaldi-native-fbank is needed and not installed.
    """
    if kind is None:
        return LogMel(features)
    return SampleBlocks(features) if kind == "waveform" else KaldiFbank(features, kind)


class KaldiFbank:
    """Kaldi's filterbank, computed by kaldi-native-fbank without dither, which is random, from sound without pauses.

    The mean is not subtracted here, but from what is embedded, see `PretrainedNetwork`.

    Args:
        features: settings, see `features_of`.
        kind: kind of the features.
    """

    def __init__(self, features: FeatureConfig, kind: Kind) -> None:
        try:
            import kaldi_native_fbank
        except ImportError as error:
            raise UserError(f"kaldi-native-fbank: not installed; {install('runtime')}") from error
        self.features = features
        self._kind: Kind = kind
        self._kaldi = kaldi_native_fbank
        self._options: Any = kaldi_native_fbank.FbankOptions()
        frames = self._options.frame_opts
        frames.samp_freq, frames.dither, frames.window_type = float(features.sample_rate), 0.0, WINDOWS[kind]
        frames.frame_length_ms = 1000 * features.window_length / features.sample_rate
        frames.frame_shift_ms = 1000 * features.hop_length / features.sample_rate
        frames.snip_edges = True
        self._options.mel_opts.num_bins, self._options.mel_opts.low_freq = features.n_mels, features.f_min
        self._options.energy_floor = 0.0

    def without_trimming(self) -> KaldiFbank:
        """Copy that does not cut silence."""
        return KaldiFbank(self.features.model_copy(update={"trim_silence": False}), self._kind)

    def __call__(self, waveform: Samples, sample_rate: int) -> NDArray[np.float32]:
        """(T, M) frames of (N,) samples; errors as for `LogMel`."""
        sound = trim(waveform, sample_rate, self.features) * np.float32(SCALES[self._kind])
        if len(sound) < self.features.window_length:
            raise UserError(f"found {len(sound)} samples of sound, expected {self.features.window_length} at least")
        fbank = self._kaldi.OnlineFbank(self._options)
        fbank.accept_waveform(float(self.features.sample_rate), sound)  # pyright: ignore[reportArgumentType]
        fbank.input_finished()
        return np.stack([fbank.get_frame(row) for row in range(fbank.num_frames_ready)])


class SampleBlocks:
    """Sound without pauses, cut into frames of 10 ms; samples after the last whole frame are left out.

    Args:
        features: settings, see `features_of`.
    """

    def __init__(self, features: FeatureConfig) -> None:
        self.features = features

    def without_trimming(self) -> SampleBlocks:
        """Copy that does not cut silence."""
        return SampleBlocks(self.features.model_copy(update={"trim_silence": False}))

    def __call__(self, waveform: Samples, sample_rate: int) -> NDArray[np.float32]:
        """(T, M) frames of (N,) samples; errors as for `LogMel`."""
        sound, size = trim(waveform, sample_rate, self.features), self.features.hop_length
        if len(sound) < size:
            raise UserError(f"found {len(sound)} samples of sound, expected {size} at least")
        return sound[: len(sound) // size * size].reshape(-1, size)
