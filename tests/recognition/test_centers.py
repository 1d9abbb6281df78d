"""Centers of speakers: the same number for all, and no farther apart than the clips justify.

Shapes: C clips, D width of a voice print.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from recognition.bundles import Trained
from speakerid.recognition.centers import CENTERS, PRIOR, centers_of, even_clips, means_of
from speakerid.recognition.plda import Plda
from speakerid.recognition.profiles import MOST_CLIPS, Profiles


def clips(count: int, around: NDArray[np.floating], noise: float, seed: int = 0) -> NDArray[np.float32]:
    """(C, D) random unit vectors."""
    found = around + noise * np.random.default_rng(seed).normal(size=(count, len(around)))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 12), st.integers(0, 1_000))
def test_everybody_has_as_many(count: int, seed: int) -> None:
    mine = clips(count, np.ones(6), 0.5, seed)
    centers = centers_of(mine)[0]
    assert centers.shape == (CENTERS, 6)
    assert (centers >= mine.min(0) - 1e-6).all()
    assert (centers <= mine.max(0) + 1e-6).all()


def test_three_clips_written_out() -> None:
    mine = np.eye(3, dtype=np.float32)
    share = 1 / (1 + PRIOR)
    expected = (1 - share) / 3 + share * np.eye(3)
    np.testing.assert_allclose(sorted(centers_of(mine)[0].tolist()), sorted(expected.tolist()), atol=1e-6)


def test_one_clip_is_the_center_however_often_it_is_given() -> None:
    mine, nobody = clips(1, np.ones(4), 0.5), np.zeros((0, CENTERS, 4), np.float32)
    for times in (1, 2, 9):
        everybody = Profiles((), Plda(1.0, np.ones(4)), nobody, (), (), np.zeros((0, 3), np.int64), ()).with_speaker(
            "Zoe", mine.repeat(times, 0)
        )
        np.testing.assert_allclose(everybody.centers, mine.repeat(CENTERS, 0)[None], atol=1e-6)
        assert everybody.clips == (1,)


def test_what_a_few_clips_have_of_their_own_counts_little() -> None:
    """A recording of another session is closer to the centers than to any of the clips."""
    voice = np.eye(40)[0]
    mine, heard = clips(3, voice, 0.2), clips(200, voice, 0.2, seed=1)
    near, far = (
        np.linalg.norm(heard[:, None] - places, axis=-1).min(1).mean() for places in (centers_of(mine)[0], mine)
    )
    assert near < far - 0.1


def test_two_ways_to_speak_of_which_there_are_many_clips_stay_two() -> None:
    first, second = np.eye(40)[:2]
    mine = np.concatenate([clips(30, first, 0.05), clips(30, second, 0.05, seed=1)])
    centers = centers_of(mine)[0]
    nearest = (np.stack([first, second]) @ (centers / np.linalg.norm(centers, axis=1, keepdims=True)).T).max(1)
    mean = mine.mean(0) / np.linalg.norm(mine.mean(0))
    assert (nearest > 0.9).all()
    assert mean[0] < 0.75


def test_more_clips_than_count_make_nobody_surer() -> None:
    center, voice = np.full((3, CENTERS, 4), 0.5, np.float32), np.full((1, 4), 0.5, np.float32)
    counts = (3, MOST_CLIPS, 9 * MOST_CLIPS)
    few, enough, many = Profiles(
        ("few", "enough", "many"),
        Plda(0.1, np.ones(4)),
        center,
        counts,
        (True,) * 3,
        even_clips(counts),
        (frozenset(),) * 3,
    ).scores(voice)[0]
    assert few < enough == many


@pytest.mark.parametrize("first", [1, 2, 3])
def test_clips_that_are_added_make_the_centers_of_all(first: int) -> None:
    mine = clips(9, np.eye(8)[0], 0.2).astype(np.float32)
    nobody = Profiles(
        (), Plda(1.0, np.ones(8)), np.zeros((0, 3, 8), np.float32), (), (), np.zeros((0, 3), np.int64), ()
    )
    added = nobody.with_speaker("Zoe", mine[:first], [1, 2]).with_more("Zoe", mine[first:], [2, 3])
    at_once = nobody.with_speaker("Zoe", mine)
    assert added.clips == at_once.clips == (9,)
    assert added.center_clips.sum() == 9
    assert added.recordings == (frozenset({1, 2, 3}),)
    np.testing.assert_allclose(added.centers, at_once.centers, atol=1e-5)


@pytest.mark.parametrize("known", [True, False])
def test_many_clips_keep_their_weight_when_more_are_added(known: bool) -> None:
    old, new = clips(60, np.eye(8)[0], 0.1), clips(20, np.eye(8)[1], 0.1, seed=1)
    centers, sizes = centers_of(old)
    sizes = sizes if known else even_clips([60])[0]
    means, weights = means_of(centers, sizes)
    centers, sizes = centers_of(np.concatenate([means, new]), np.concatenate([weights, np.ones(20, np.int64)]))
    assert sizes.sum() == 80
    means, weights = means_of(centers, sizes)
    mean = np.average(means, axis=0, weights=weights)
    np.testing.assert_allclose(mean, np.concatenate([old, new]).mean(0), atol=1e-5 if known else 0.05)


def test_the_former_spelling_works(trained: Trained) -> None:
    profiles = trained.bundle.profiles
    assert profiles.centres is profiles.centers
