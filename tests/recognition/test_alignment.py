import numpy as np
import pytest

from speakerid.recognition.alignment import fit_alignment


def test_a_linear_relation_is_found() -> None:
    rng = np.random.default_rng(0)
    source = rng.normal(3, 1, (500, 6))
    relation = rng.normal(size=(6, 4))
    found = fit_alignment(source, source @ relation - 7, ridge=1e-2)(source[:20])
    assert found.shape == (20, 4)
    np.testing.assert_allclose(found, source[:20] @ relation - 7, atol=0.3)


def test_held_out_voices_land_near_their_own_places() -> None:
    """Two models map 8 speakers by different random layers; the alignment holds for voices it was not fitted on."""
    rng = np.random.default_rng(1)
    speakers = rng.normal(size=(8, 10))
    rows = np.repeat(speakers, 30, 0) + 0.3 * rng.normal(size=(240, 10))
    one, other = (np.tanh(rows @ rng.normal(size=(10, 16)) / 3) for _ in range(2))
    fitted, held_out = np.arange(240) % 30 < 20, np.arange(240) % 30 >= 20
    centers = np.stack([other[fitted & (np.arange(240) // 30 == speaker)].mean(0) for speaker in range(8)])
    mapped = fit_alignment(one[fitted], other[fitted])(one[held_out])
    nearest = ((mapped[:, None] - centers) ** 2).sum(-1).argmin(1)
    assert (nearest == np.arange(240)[held_out] // 30).mean() > 0.95


@pytest.mark.parametrize("count", [1, 2])
def test_too_little_to_tell_maps_to_the_mean(count: int) -> None:
    target = np.arange(count * 3.0).reshape(count, 3)
    found = fit_alignment(np.ones((count, 2)), target)(np.full((1, 2), 5.0))
    np.testing.assert_allclose(found, target.mean(0, keepdims=True), atol=1e-6)
