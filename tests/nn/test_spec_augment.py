import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speakerid.nn.spec_augment import SpecAugment, random_spans


def test_masked_bands_have_the_utterance_mean_and_masked_frames_the_band_mean() -> None:
    torch.manual_seed(0)
    features = torch.randn(5, 30, 12)
    torch.manual_seed(1)
    found = SpecAugment(time_masks=2, time_width=9, band_masks=1, band_width=5)(features)
    torch.manual_seed(1)
    bands, frames = random_spans(5, 1, 5, 12), random_spans(5, 2, 9, 30)
    assert bands.any()
    assert frames.any()
    for b in range(5):
        expected = features[b].clone()
        for m in range(12):
            if bands[b, m]:
                expected[:, m] = features[b].sum() / (30 * 12)
        means = expected.mean(0)
        for t in range(30):
            if frames[b, t]:
                expected[t] = means
        torch.testing.assert_close(found[b], expected)


@settings(deadline=None, max_examples=60)
@given(length=st.integers(1, 40), widest=st.integers(1, 60), seed=st.integers(0, 1000))
def test_a_mask_is_contiguous_and_not_too_wide(length: int, widest: int, seed: int) -> None:
    torch.manual_seed(seed)
    for row in random_spans(8, 1, widest, length).int():
        assert row.sum() <= min(widest, length)
        assert (row.diff() == 1).sum() <= 1
        assert (row.diff() == -1).sum() <= 1


def test_widths_and_positions_are_uniform() -> None:
    torch.manual_seed(0)
    rows = random_spans(40_000, 1, 3, 7)
    widths = torch.bincount(rows.sum(1), minlength=4) / len(rows)
    torch.testing.assert_close(widths, torch.full((4,), 0.25), rtol=0, atol=0.01)
    starts = torch.bincount(rows[rows.sum(1) == 2].int().argmax(1)) / (rows.sum(1) == 2).sum()
    torch.testing.assert_close(starts, torch.full((6,), 1 / 6), rtol=0, atol=0.01)


def test_utterances_get_masks_of_their_own() -> None:
    torch.manual_seed(0)
    assert len({tuple(row.tolist()) for row in random_spans(50, 2, 20, 100)}) == 50


def test_without_masks_nothing_changes() -> None:
    features = torch.randn(2, 9, 4)
    assert torch.equal(SpecAugment(time_masks=0, band_masks=0)(features), features)
