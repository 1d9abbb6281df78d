import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from speakerid.nn.channel_augment import BABBLE_DB, DIRECT_DB, NOISE_DB, REVERBERATION_SECONDS, ChannelAugment

FLOOR = math.log(1e-9)
KINDS = ("reverberation", "babble", "noise", "equalization", "band_limit")


def log_mels(n_utterances: int = 40, n_frames: int = 50, n_bands: int = 40) -> Tensor:
    return torch.randn(n_utterances, n_frames, n_bands) * 2 - 8


def augmented(features: Tensor, **probabilities: float) -> Tensor:
    return ChannelAugment(**probabilities)(features)


def decibels(power: Tensor, other: Tensor) -> Tensor:
    """(B,) ratio of the powers of two batches."""
    return 10 * torch.log10(power.exp().sum((1, 2)) / other.sum((1, 2)))


@settings(deadline=None, max_examples=40)
@given(
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 1000),
    n_utterances=st.integers(1, 5),
    n_frames=st.integers(1, 30),
    n_bands=st.integers(1, 50),
)
def test_every_channel_gives_finite_log_mels_at_any_size(
    kind: str, seed: int, n_utterances: int, n_frames: int, n_bands: int
) -> None:
    torch.manual_seed(seed)
    features = log_mels(n_utterances, n_frames, n_bands).clamp(min=FLOOR)
    features[0, 0] = FLOOR
    found = augmented(features, **{kind: 1.0})
    assert found.shape == features.shape
    assert found.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_channels_depend_on_the_seed_and_differ_between_utterances(kind: str) -> None:
    features = log_mels(1).expand(6, -1, -1) + torch.randn(6, 1, 1)

    def drawn(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return augmented(features, **{kind: 1.0}) - features

    assert torch.equal(drawn(0), drawn(0))
    assert not torch.equal(drawn(0), drawn(1))
    assert len({tuple(change.flatten()[:200].tolist()) for change in drawn(0)}) > 3


@pytest.mark.parametrize("kind", KINDS)
def test_the_given_share_of_utterances_is_augmented(kind: str) -> None:
    features = log_mels(2000, 4, 40)
    changed = (augmented(features, **{kind: 0.3}) != features).flatten(1).any(1).double().mean()
    assert changed == pytest.approx(0.3, abs=0.05)


def test_without_a_channel_nothing_changes() -> None:
    features = log_mels()
    assert augmented(features) is features


def test_a_room_leaves_an_exponential_tail_behind_a_click() -> None:
    features = torch.full((100, 300, 3), -60.0)
    features[:, 5] = 0.0
    found = augmented(features, reverberation=1.0)
    assert (found[:, :5] - features[:, :5]).abs().max() < 1  # only tails of −60: nothing comes before its cause
    assert torch.equal(found[:, 5], features[:, 5])
    tail = found[:, 6:, 0].exp()
    direct = 10 * torch.log10(1 / tail.sum(1))
    assert direct.min() > DIRECT_DB[0] - 0.5
    assert direct.max() < DIRECT_DB[1] + 0.5
    fall = -found[:, 6:26, 0].diff(dim=1) * 10 / math.log(10)  # dB a frame, the same at every frame
    torch.testing.assert_close(fall, fall[:, :1].expand_as(fall), rtol=0.01, atol=0.01)
    seconds = 60 / fall[:, 0] / 100
    assert seconds.min() > REVERBERATION_SECONDS[0] - 0.01
    assert seconds.max() < REVERBERATION_SECONDS[1] + 0.01


@pytest.mark.parametrize(("kind", "bounds"), [("noise", NOISE_DB), ("babble", BABBLE_DB)])
def test_noise_and_babble_are_added_at_the_given_level(kind: str, bounds: tuple[float, float]) -> None:
    features = log_mels()
    found = augmented(features, **{kind: 1.0})
    assert (found >= features).all()
    ratio = decibels(features, found.exp() - features.exp())
    assert bounds[0] - 0.1 < ratio.min() < bounds[0] + 4
    assert bounds[1] - 4 < ratio.max() < bounds[1] + 0.1


def test_babble_is_of_other_utterances() -> None:
    features = torch.full((4, 20, 8), -40.0)
    for utterance in range(4):
        features[utterance, :, 2 * utterance] = 0.0
    own = features == 0
    rise = augmented(features, babble=1.0) - features
    assert rise[own].max() < 0.3
    assert (rise.amax(1) > 10).sum(1).ge(1).all()


def test_equalization_is_smooth_and_constant_over_an_utterance() -> None:
    features = log_mels()
    gain = augmented(features, equalization=1.0) - features
    torch.testing.assert_close(gain, gain[:, :1].expand_as(gain), rtol=0, atol=1e-5)
    assert gain[:, 0].std() > 0.3
    assert gain[:, 0].diff(dim=1).abs().max() < 0.5 * gain[:, 0].abs().max()


def test_a_band_limit_leaves_the_bands_of_a_telephone_and_the_floor() -> None:
    features = log_mels(500)
    found = augmented(features, band_limit=1.0)
    kept = (found == features).all(1)
    assert torch.equal(found[~kept[:, None].expand_as(found)].unique(), torch.tensor([FLOOR]))
    assert kept[:, 6:24].all()
    assert (kept.int().diff(dim=1).abs().sum(1) <= 2).all()  # one stretch is kept
    assert 0.3 < (~kept[:, 0]).double().mean() < 0.6
