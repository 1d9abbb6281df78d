import math
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from oracles import import_torchaudio
from speakerid.audio import log_mel as module
from speakerid.audio.decode import decode
from speakerid.audio.log_mel import CHUNK
from speakerid.base.errors import UserError
from speakerid.config import FeatureConfig

RATE = 16_000


class LogMel:
    """`LogMel` on tensors, like the oracle."""

    def __init__(self, features: FeatureConfig) -> None:
        self._log_mel = module.LogMel(features)

    def __call__(self, waveform: Tensor, sample_rate: int) -> Tensor:
        return torch.from_numpy(self._log_mel(waveform.numpy(), sample_rate))


def gain_to(waveform: Tensor, level: float) -> float:
    return module.gain_to(waveform.numpy(), level)


def sound_segments(waveform: Tensor, sample_rate: int, silence: float = module.SILENCE_LEVEL) -> list[slice]:
    return module.sound_segments(waveform.numpy(), sample_rate, silence)


VOICES = Path(__file__).resolve().parents[3] / "shared" / "voices"


def expected_log_mel(waveform: NDArray[np.float64], n_mels: int) -> NDArray[np.float64]:
    """Compute (T, M) HW4 features of (N,) samples in double precision with NumPy only."""
    waveform = waveform * 10 ** (-3 / 20) / np.abs(waveform).max()
    padded = np.pad(waveform, 200, mode="reflect")
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    windows = np.stack([padded[start : start + 400] * hann for start in range(0, len(waveform) + 1, 160)])
    power = np.abs(np.fft.rfft(windows)) ** 2
    lowest, highest = (2595 * np.log10(1 + hertz / 700) for hertz in (50, 8000))
    edges = 700 * (10 ** (np.linspace(lowest, highest, n_mels + 2) / 2595) - 1)
    bins = np.arange(201)[:, None] * RATE / 400
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return np.log(np.maximum(power @ np.clip(np.minimum(rising, falling), 0, None), 1e-9))


@pytest.mark.parametrize(
    ("n_mels", "f_min", "differing"), [(40, 50, 6), (80, 50, 0), (80, 20, 0), (64, 0, 12), (20, 50, 0)]
)
def test_mel_filters_match_torchaudio(n_mels: int, f_min: float, differing: int) -> None:
    """To the last bit, except for powers that torch rounds differently; torch itself differs between processors."""
    features = FeatureConfig(n_mels=n_mels, f_min=f_min)
    expected = import_torchaudio().functional.melscale_fbanks(201, f_min, RATE / 2, n_mels, RATE).numpy()
    found = module.mel_filters(features)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    if torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512"):
        assert np.count_nonzero(found != expected) == differing


def test_a_band_without_a_frequency_is_reported() -> None:
    with pytest.warns(UserWarning, match="a mel band holds no frequency: n_mels is too large for window_length"):
        assert not module.mel_filters(FeatureConfig(n_mels=201)).all()


def waveforms() -> dict[str, NDArray[np.float64]]:
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(8_000)
    time = np.arange(8_000) / RATE
    clicks = np.zeros(8_000)
    clicks[::97] = 1.0
    return {
        "noise": noise,
        "noise of 401 samples": noise[:401],
        "shortest": noise[:201],
        "a multiple of the hop": noise[:1600],
        "one sample less": noise[:1599],
        "chirp in noise": np.sin(2 * np.pi * (100 + 7_000 * time) * time) + 0.01 * noise,
        "swelling noise": noise * (0.2 + np.abs(np.sin(20 * time))),
        "clicks": clicks + 0.01 * noise,
    }


# The filterbank is in single precision, which matters in a narrow band that barely contains a frequency.
@pytest.mark.parametrize(("n_mels", "tolerance"), [(40, 1e-4), (80, 3e-4)])
@pytest.mark.parametrize("name", waveforms())
def test_log_mel_matches_the_formula(name: str, n_mels: int, tolerance: float) -> None:
    waveform = waveforms()[name]
    found = LogMel(FeatureConfig(n_mels=n_mels, trim_silence=False))(torch.tensor(waveform, dtype=torch.float32), RATE)
    expected = expected_log_mel(waveform.astype(np.float32).astype(np.float64), n_mels)
    assert found.dtype == torch.float32
    assert found.shape == (1 + len(waveform) // 160, n_mels)
    assert found.is_contiguous()
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=tolerance)


def torchaudio_log_mel(waveform: Tensor, features: FeatureConfig) -> Tensor:
    """Features that HW4's torchaudio computes from (N,) samples at the corpus's level."""
    spectrogram = import_torchaudio().transforms.MelSpectrogram(
        features.sample_rate, features.window_length, hop_length=features.hop_length, f_min=features.f_min,
        n_mels=features.n_mels,
    )  # fmt: skip
    levelled = waveform * (10 ** (features.level / 20) / waveform.abs().max())
    return spectrogram(levelled).clamp_min(features.floor).log().T


def assert_same_features(found: Tensor, expected: Tensor) -> None:
    """Equal to 1e-4 down to 30 dB below a frame's loudest band; below, both have single-precision rounding errors."""
    assert found.shape == expected.shape
    below = (expected.amax(1, keepdim=True) - expected) * 10 / math.log(10)
    difference = (found - expected).abs()
    assert difference[below <= 30].max() < 1e-4
    assert difference[below <= 70].max() < 1e-2


@pytest.mark.parametrize("n_mels", [40, 80])
@pytest.mark.parametrize("name", waveforms())
def test_log_mel_matches_torchaudio(name: str, n_mels: int) -> None:
    features = FeatureConfig(n_mels=n_mels, trim_silence=False)
    waveform = torch.tensor(waveforms()[name], dtype=torch.float32)
    assert_same_features(LogMel(features)(waveform, RATE), torchaudio_log_mel(waveform, features))


@settings(deadline=None, max_examples=40)
@given(
    window=st.integers(2, 600), hop=st.integers(1, 300), f_min=st.integers(0, 3_000),
    rate=st.sampled_from([8_000, 16_000]), samples=st.integers(1_000, 3_000), level=st.floats(-30, 0),
    seed=st.integers(0, 9),
)  # fmt: skip
def test_log_mel_matches_torchaudio_for_all_settings(
    window: int, hop: int, f_min: int, rate: int, samples: int, level: float, seed: int
) -> None:
    features = FeatureConfig(
        sample_rate=rate, window_length=window, hop_length=hop, f_min=f_min, n_mels=3, level=level, trim_silence=False
    )
    waveform = noise(samples, seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about bands that short windows leave empty
        found, expected = LogMel(features)(waveform, rate), torchaudio_log_mel(waveform, features)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3)


def test_frames_do_not_depend_on_chunks() -> None:
    log_mel = LogMel(FeatureConfig(trim_silence=False))
    waveform = noise(160 * (2 * CHUNK + 10))
    waveform[0] = 3.0  # the peak, so that both have the same level
    whole, beginning = log_mel(waveform, RATE), log_mel(waveform[: 160 * 20], RATE)
    torch.testing.assert_close(whole[:18], beginning[:18], rtol=0, atol=1e-4)
    expected = expected_log_mel(waveform.double().numpy(), 40)
    np.testing.assert_allclose(whole.numpy(), expected, rtol=0, atol=1e-4)


def test_log_mel_of_real_voices_matches_torchaudio() -> None:
    paths = sorted(VOICES.glob("*/*.ogg"))[::60]
    if not paths:
        pytest.skip(f"no recordings at {VOICES}")
    features = FeatureConfig(trim_silence=False)
    log_mel = LogMel(features)
    for path in paths:
        sound = decode(path)
        waveform = torch.from_numpy(sound.waveform)
        found = log_mel(waveform, sound.sample_rate)
        assert_same_features(found, torchaudio_log_mel(waveform, features))


def test_twenty_minutes_need_little_memory() -> None:
    log_mel = LogMel(FeatureConfig())
    waveform = noise(20 * 60 * RATE)
    with memory_growth() as grown:
        assert log_mel(waveform, RATE).shape == (120_001, 40)
    assert (
        grown[0] < 2 * waveform.nbytes
    )  # a padded copy and the features; the whole spectrogram would take 4 times as much


@contextmanager
def memory_growth() -> Iterator[list[int]]:
    """Measure by how many bytes the memory grows in the block."""
    status, grown = Path("/proc/self/status"), list[int]()
    if not status.exists():
        pytest.skip("reads the peak of the memory from Linux")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # reset the peak
    before = int(re.findall(r"VmRSS:\s+(\d+)", status.read_text(encoding="ascii"))[0])
    yield grown
    grown.append(1024 * (int(re.findall(r"VmHWM:\s+(\d+)", status.read_text(encoding="ascii"))[0]) - before))


def test_values_stop_at_the_floor() -> None:
    # 100 ms of a tone, then digital silence.
    waveform = torch.zeros(8_000)
    waveform[:1_600] = torch.sin(torch.arange(1_600.0))
    found = LogMel(FeatureConfig(trim_silence=False))(waveform, RATE)
    assert found.min().item() == pytest.approx(-20.723, abs=1e-3)
    assert (found[15:] == found.min()).all()


@settings(deadline=None, max_examples=20)
@given(gain=st.floats(-120, 120).map(lambda decibels: 10 ** (decibels / 20)))
def test_loudness_of_the_recording_does_not_matter(gain: float) -> None:
    log_mel = LogMel(FeatureConfig())
    waveform = noise(3_000)
    torch.testing.assert_close(log_mel(waveform * gain, RATE), log_mel(waveform, RATE), rtol=0, atol=1e-3)


def test_channels_are_averaged() -> None:
    log_mel = LogMel(FeatureConfig())
    left, right = noise(3_000, seed=1), noise(3_000, seed=2)
    torch.testing.assert_close(log_mel(torch.stack([left, right]), RATE), log_mel((left + right) / 2, RATE))


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 44_101, 48_000, 96_000])
def test_other_sample_rates_give_the_same_features(rate: int) -> None:
    def tones(rate: int) -> Tensor:
        time = torch.arange(round(0.5 * rate), dtype=torch.float64) / rate
        return sum((torch.sin(2 * math.pi * hertz * time) for hertz in (300, 1_000, 2_500)), torch.zeros(())).float()

    log_mel = LogMel(FeatureConfig(trim_silence=False))
    expected, found = log_mel(tones(RATE), RATE), log_mel(tones(rate), rate)
    assert found.shape == expected.shape
    # Only inner frames, because resampling smooths the ends, and only bands with sound.
    loud = expected[5:-5] > 0
    assert loud.any(1).all()
    assert (found - expected)[5:-5][loud].abs().max() < 0.05


@pytest.mark.parametrize("samples", [0, 1, 199, 200])
@pytest.mark.parametrize("trim_silence", [False, True])
def test_too_short_is_refused_with_the_number_of_samples(samples: int, trim_silence: bool) -> None:
    with pytest.raises(UserError, match=rf"^found {samples} samples of sound, expected more than 200$"):
        LogMel(FeatureConfig(trim_silence=trim_silence))(noise(samples), RATE)


def test_shortest_valid_recording() -> None:
    assert LogMel(FeatureConfig())(noise(201), RATE).shape == (2, 40)


@pytest.mark.parametrize("channels", [1, 2])
def test_digital_silence_is_refused(channels: int) -> None:
    with pytest.raises(UserError, match="found 0 samples of sound"):
        LogMel(FeatureConfig())(torch.zeros(channels, RATE), RATE)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_samples_that_are_not_finite_are_refused(value: float) -> None:
    waveform = noise(RATE)
    waveform[777] = value
    with pytest.raises(UserError, match="not finite"):
        LogMel(FeatureConfig())(waveform, RATE)


@pytest.mark.parametrize("scale", [1e-45, 1e-40, 1e-38, 1e-20, 1e20, 1e38])
@pytest.mark.parametrize("channels", [1, 6])
def test_extreme_samples_give_finite_features_or_are_refused(scale: float, channels: int) -> None:
    waveform = noise(4_000).clamp(-3, 3).expand(channels, -1) * scale
    try:
        found = LogMel(FeatureConfig())(waveform, RATE)
    except UserError:
        return
    assert found.isfinite().all()


@pytest.mark.parametrize("level", [-3.0, 0.0, -20.0])
def test_gain_brings_the_peak_to_the_level(level: float) -> None:
    for peak in (0.02, -0.02, 5.0, 1e-9):
        gain = gain_to(torch.tensor([0.0, peak / 2, peak]), level)
        assert gain * abs(peak) == pytest.approx(10 ** (level / 20))


@pytest.mark.parametrize("samples", [0, 5])
def test_digital_silence_is_not_amplified(samples: int) -> None:
    assert gain_to(torch.zeros(samples), -3.0) == 1.0
    assert gain_to(torch.full((samples,), 1e-12), -3.0) == 1.0


def test_f_min_above_half_the_sample_rate_is_refused() -> None:
    with pytest.raises(UserError, match=r"^f_min: found 4000 Hz, expected below half the sample rate, 4000 Hz$"):
        LogMel(FeatureConfig(sample_rate=8_000, f_min=4_000))


def noise(samples: int, level: float = 0.3, seed: int = 0) -> Tensor:
    return level * torch.randn(samples, generator=torch.Generator().manual_seed(seed))


def seconds(duration: float) -> int:
    return round(duration * RATE)


def remove_silence(waveform: Tensor) -> Tensor:
    return torch.cat([waveform[segment] for segment in sound_segments(waveform, RATE)])


@pytest.mark.parametrize("gap", [0.02, 0.05, 0.09, 0.0999])
@pytest.mark.parametrize("start", [0.3, 0.307])
def test_gaps_below_a_tenth_of_a_second_are_kept(gap: float, start: float) -> None:
    waveform = torch.cat([noise(seconds(start)), torch.zeros(seconds(gap)), noise(seconds(0.3))])
    assert torch.equal(remove_silence(waveform), waveform)


@pytest.mark.parametrize("gap", [0.15, 0.5, 2.0])
@pytest.mark.parametrize("start", [0.3, 0.307, 0.0])
@pytest.mark.parametrize("end", [0.3, 0.293, 0.0])
def test_longer_gaps_are_cut_at_the_ends_too(gap: float, start: float, end: float) -> None:
    loud = noise(seconds(start) + seconds(end))
    waveform = torch.cat([loud[: seconds(start)], torch.zeros(seconds(gap)), loud[seconds(start) :]])
    found = remove_silence(waveform)
    assert torch.equal(found[found != 0], loud)
    # The rest of a gap is in the two windows of 20 ms that it shares with sound.
    assert len(found) - len(loud) < seconds(0.04)


def test_a_gap_of_exactly_a_tenth_of_a_second_is_cut() -> None:
    loud = noise(seconds(0.4))
    waveform = torch.cat([loud[: seconds(0.2)], torch.zeros(seconds(0.1)), loud[seconds(0.2) :]])
    assert torch.equal(remove_silence(waveform), loud)


@pytest.mark.parametrize(("level", "kept"), [(0.012, True), (0.008, False)])
def test_one_per_cent_of_full_scale_is_silence(level: float, kept: bool) -> None:
    waveform = level * torch.ones(RATE)
    assert len(remove_silence(waveform)) == (RATE if kept else 0)


def test_silence_is_below_the_given_level() -> None:
    waveform = 0.5 * torch.ones(RATE)
    assert sum(len(waveform[segment]) for segment in sound_segments(waveform, RATE, silence=0.49)) == RATE
    assert sum(len(waveform[segment]) for segment in sound_segments(waveform, RATE, silence=0.51)) == 0


@settings(deadline=None, max_examples=60)
@given(
    segments=st.lists(
        st.tuples(st.integers(1, 5_000), st.sampled_from([0.0, 1e-4, 0.005, 0.02, 0.3])), min_size=0, max_size=8
    ),
    seed=st.integers(0, 100),
)
def test_silence_removal_only_removes_and_only_what_is_quiet(segments: list[tuple[int, float]], seed: int) -> None:
    levels = torch.cat([torch.zeros(0), *(torch.full((samples,), level) for samples, level in segments)])
    # All samples differ, so that each can be identified in the result.
    tags = 1 + 0.1 * torch.linspace(-1, 1, len(levels), dtype=torch.float64)
    waveform = levels.double() * tags * (1 - 2 * torch.randint(0, 2, levels.shape, generator=_generator(seed)))
    waveform += 1e-9 * tags
    found = remove_silence(waveform)
    indices = {value: index for index, value in enumerate(waveform.tolist())}
    kept = [indices[value] for value in found.tolist()]
    assert kept == sorted(set(kept))
    removed = torch.ones(len(waveform), dtype=torch.bool)
    removed[kept] = False
    for start, end in _runs(removed):
        # The last window may be incomplete; its missing part counts as silence.
        assert end - start >= seconds(0.1) - (seconds(0.02) if end == len(waveform) else 0)
        assert waveform[start:end].square().sum() <= 0.01**2 * (end - start + seconds(0.02))


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _runs(flags: Tensor) -> list[tuple[int, int]]:
    edges = torch.diff(torch.nn.functional.pad(flags.int(), (1, 1))).nonzero().flatten().tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def test_silence_is_cut_before_the_features() -> None:
    log_mel = LogMel(FeatureConfig())
    loud = noise(seconds(0.4), seed=3)
    waveform = torch.cat([loud[: seconds(0.2)], torch.zeros(RATE), loud[seconds(0.2) :]])
    torch.testing.assert_close(log_mel(waveform, RATE), log_mel(loud, RATE))
    untrimmed = LogMel(FeatureConfig(trim_silence=False))(waveform, RATE)
    assert len(untrimmed) == 1 + len(waveform) // 160
