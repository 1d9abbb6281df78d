"""The log-mel front end in tensors agrees with the one in NumPy for each recording.

Shapes: B recordings in a batch, N samples, T frames, M mel bands, S speakers, K centers per speaker.
"""

import math
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from speakerid.audio.decode import decode
from speakerid.audio.log_mel import LogMel
from speakerid.audio.resample import resample
from speakerid.base.errors import UserError
from speakerid.config import FeatureConfig
from speakerid.deployment.waveform_model import BatchLogMel, WaveformModel
from speakerid.nn.pooling import MeanPooling
from speakerid.recognition.centers import even_clips
from speakerid.recognition.plda import Plda
from speakerid.recognition.profiles import Profiles

RATE = 16_000
VOICES = Path(__file__).resolve().parents[3] / "shared" / "voices"


def noise(samples: int, seed: int = 0) -> NDArray[np.float32]:
    return (0.2 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def padded(waveforms: list[NDArray[np.float32]], padding: float = math.nan) -> tuple[Tensor, Tensor]:
    """(B, N) waveforms with garbage as padding, and (B,) lengths."""
    lengths = torch.tensor([len(waveform) for waveform in waveforms])
    batch = torch.full((len(waveforms), max(1, int(lengths.max()))), padding)
    for row, waveform in zip(batch, waveforms, strict=True):
        row[: len(waveform)] = torch.from_numpy(waveform)
    return batch, lengths


def assert_same_features(found: Tensor, expected: Tensor) -> None:
    """Compare to 1e-4 down to 30 dB below a frame's loudest band; below that, single precision rounds in both."""
    assert found.shape == expected.shape
    below = (expected.amax(1, keepdim=True) - expected) * 10 / math.log(10)
    difference = (found - expected).abs()
    assert difference[below <= 30].max() < 1e-4
    assert difference[below <= 70].max() < 1e-2


def assert_same_batch(
    features: FeatureConfig,
    waveforms: list[NDArray[np.float32]],
    padding: float = math.nan,
    assert_same: Callable[[Tensor, Tensor], None] = assert_same_features,
) -> None:
    """Compare with `LogMel` of each recording; there is no real frame where that raises."""
    log_mel = LogMel(features)
    found, mask = BatchLogMel(features)(*padded(waveforms, padding))
    assert found.isfinite().all()
    assert mask.dtype == torch.bool
    for row, waveform in enumerate(waveforms):
        real = int(mask[row].sum())
        assert mask[row, :real].all()
        try:
            expected = log_mel(waveform, features.sample_rate)
        except UserError:
            assert real == 0
        else:
            assert_same(found[row, :real], torch.from_numpy(expected))


levels = st.sampled_from([0.0, 1e-4, 3e-3, 0.03, 0.3])
lengths = st.one_of(st.integers(1, 6_000), st.sampled_from([160, 201, 320, 1_600, 3_200]))
recordings = st.lists(st.lists(st.tuples(lengths, levels), max_size=6), min_size=1, max_size=3)
"""Waveforms of segments, each with a number of samples and a level."""


def of_stretches(stretches: list[tuple[int, float]], gain: float, seed: int) -> NDArray[np.float32]:
    level = np.concatenate([np.zeros(0), *(np.full(samples, level) for samples, level in stretches)])
    return (gain * level * np.random.default_rng(seed).standard_normal(len(level))).astype(np.float32)


@settings(deadline=None, max_examples=150)
@given(
    content=recordings, gain=st.floats(-100, 40).map(lambda decibels: 10 ** (decibels / 20)), seed=st.integers(0, 9),
    padding=st.sampled_from([0.0, 1e4, math.nan, math.inf]), trim_silence=st.booleans(),
)  # fmt: skip
def test_features_are_those_of_numpy(
    content: list[list[tuple[int, float]]], gain: float, seed: int, padding: float, trim_silence: bool
) -> None:
    waveforms = [of_stretches(stretches, gain, seed) for stretches in content]
    assert_same_batch(FeatureConfig(trim_silence=trim_silence), waveforms, padding)


@settings(deadline=None, max_examples=40)
@given(
    window=st.integers(2, 600), hop=st.integers(1, 300), f_min=st.integers(0, 3_000),
    rate=st.sampled_from([8_000, 11_025, 16_000]), samples=st.integers(1_000, 3_000), level=st.floats(-30, 0),
    seed=st.integers(0, 9),
)  # fmt: skip
def test_features_are_those_of_numpy_under_all_settings(
    window: int, hop: int, f_min: int, rate: int, samples: int, level: float, seed: int
) -> None:
    features = FeatureConfig(sample_rate=rate, window_length=window, hop_length=hop, f_min=f_min, n_mels=3, level=level)
    waveform = noise(samples, seed)
    paused = np.concatenate([waveform, np.zeros(rate // 5, np.float32), waveform[::-1]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of short windows, which leave bands empty
        close = partial(torch.testing.assert_close, rtol=0, atol=1e-3)
        assert_same_batch(features, [waveform, paused], assert_same=close)


def test_real_voices_have_the_features_of_numpy() -> None:
    paths = sorted(VOICES.glob("*/*.ogg"))[::60]
    if not paths:
        pytest.skip(f"no recordings at {VOICES}")
    sounds = [decode(path) for path in paths]
    assert_same_batch(FeatureConfig(), [resample(sound.waveform, sound.sample_rate, RATE) for sound in sounds])


@pytest.mark.parametrize("trim_silence", [True, False])
@pytest.mark.parametrize(
    "refused", [noise(0), noise(1), noise(200), np.full(RATE, np.nan, np.float32), np.append(noise(RATE), np.inf)]
)
def test_what_numpy_refuses_has_no_frame_and_leaves_its_neighbours_alone(
    refused: NDArray[np.float32], trim_silence: bool
) -> None:
    features = FeatureConfig(trim_silence=trim_silence)
    with pytest.raises(UserError):
        LogMel(features)(refused, RATE)
    assert_same_batch(features, [noise(3_000), refused.astype(np.float32), noise(201)])


@pytest.mark.parametrize("scale", [1e-45, 1e-40, 1e-20, 1e-9, 1e6, 3e11])
def test_extreme_samples_have_the_features_of_numpy(scale: float) -> None:
    waveform = (5 * noise(4_000)).clip(-3, 3) * np.float32(scale)
    assert_same_batch(FeatureConfig(), [waveform])


def test_silence_has_no_frame() -> None:
    assert not BatchLogMel(FeatureConfig())(torch.zeros(2, RATE), torch.tensor([RATE, 4_000]))[1].any()


class MeanSpectrum(nn.Module):
    """(B, T, M) features and (B, T) mask to (B, M) unit vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = MeanPooling()

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        return F.normalize(self.mean(features, mask) + 10, dim=-1)


def four_speakers() -> Profiles:
    centers = np.random.default_rng(0).normal(size=(4, 3, 5)).astype(np.float32)
    clips = (1, 3, 3, 40)
    plda = Plda(0.1, np.linspace(0.05, 0.3, 5))
    return Profiles(tuple("abcd"), plda, centers, clips, (True,) * 4, even_clips(clips), (frozenset(),) * 4)


def test_scores_are_those_of_the_profiles() -> None:
    features, profiles = FeatureConfig(n_mels=5), four_speakers()
    model = WaveformModel(features, MeanSpectrum(), profiles.scoring)
    waveforms = [noise(3_000), np.cumsum(noise(5_000)), noise(900, seed=1)]
    embeddings, scores, seconds = model(*padded(waveforms))
    assert seconds.tolist() == pytest.approx([0.19, 0.32, 0.06])
    assert embeddings.shape == (3, 5)
    assert scores.shape == (3, 4)
    for waveform, embedding, row in zip(waveforms, embeddings, scores, strict=True):
        expected = MeanSpectrum()(torch.from_numpy(LogMel(features)(waveform, RATE))[None])[0]
        torch.testing.assert_close(embedding, expected, rtol=0, atol=1e-5)
        assert row.numpy() == pytest.approx(profiles.scores(expected[None].numpy())[0], abs=1e-5)


def test_a_recording_without_sound_scores_no_number_and_leaves_its_neighbours_alone() -> None:
    model = WaveformModel(FeatureConfig(n_mels=5), MeanSpectrum(), four_speakers().scoring)
    alone = model(*padded([noise(3_000)]))
    together = model(*padded([np.zeros(9_000, np.float32), noise(3_000)]))
    assert together[2].tolist() == pytest.approx([0, alone[2].item()])
    for one, two in zip(alone[:2], together[:2], strict=True):
        assert two[0].isnan().all()
        torch.testing.assert_close(two[1], one[0], rtol=0, atol=1e-5)
