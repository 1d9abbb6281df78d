import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from speakerid.preparation.quality.duplicates import COMMON_VALUES, same_content, same_sound

Print = NDArray[np.uint32]


def prints(rng: np.random.Generator, count: int, size: int = 64) -> list[Print]:
    return [np.unique(rng.integers(0, 2**32, size, dtype=np.uint32)) for _ in range(count)]


def copy(original: Print, common: int, rng: np.random.Generator) -> Print:
    """Another fingerprint with `common` values of the first one."""
    other = rng.integers(0, 2**32, 64 - common, dtype=np.uint32)
    return np.unique(np.concatenate([rng.choice(original, common, replace=False), other]))


@given(digests=st.lists(st.sampled_from("abcdef"), max_size=12))
def test_same_content_is_grouped(digests: list[str]) -> None:
    groups = same_content(digests)
    assert groups == sorted(groups)
    for group in groups:
        assert len({digests[index] for index in group}) == 1
        assert group == [index for index, digest in enumerate(digests) if digest == digests[group[0]]]
    assert len(groups) == sum(digests.count(digest) > 1 for digest in set(digests))


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 1_000), sizes=st.lists(st.integers(1, 5), min_size=1, max_size=8))
def test_copies_are_grouped_and_nothing_else(seed: int, sizes: list[int]) -> None:
    rng = np.random.default_rng(seed)
    family = np.repeat(np.arange(len(sizes)), sizes)
    originals = prints(rng, len(sizes))
    order = rng.permutation(len(family))
    fingerprints = [copy(originals[family[index]], 40, rng) for index in order]
    expected = sorted(
        [index for index, owner in enumerate(family[order]) if owner == one]
        for one, size in enumerate(sizes)
        if size > 1
    )
    assert same_sound(fingerprints) == expected


def test_a_few_common_values_are_chance() -> None:
    rng = np.random.default_rng(0)
    (original,) = prints(rng, 1)
    assert same_sound([original, copy(original, COMMON_VALUES - 1, rng)]) == []
    assert same_sound([original, copy(original, COMMON_VALUES, rng)]) == [[0, 1]]


def test_recordings_without_a_fingerprint_match_nothing() -> None:
    empty = np.empty(0, np.uint32)
    (original,) = prints(np.random.default_rng(0), 1)
    assert same_sound([]) == same_sound([empty]) == same_sound([empty, empty, original]) == []


def test_values_that_all_share_neither_hide_nor_make_copies() -> None:
    rng = np.random.default_rng(0)
    everywhere = rng.integers(0, 2**32, COMMON_VALUES - 2, dtype=np.uint32)
    fingerprints = prints(rng, 3_000, 50)
    fingerprints[2_900] = copy(fingerprints[7], 30, rng)
    fingerprints = [np.unique(np.concatenate([values, everywhere])) for values in fingerprints]
    assert same_sound(fingerprints) == [[7, 2_900]]


def test_a_hundred_copies_are_one_group() -> None:
    rng = np.random.default_rng(0)
    (original,) = prints(rng, 1)
    fingerprints = prints(rng, 200)
    fingerprints[50:150] = [copy(original, 50, rng) for _ in range(100)]
    assert same_sound(fingerprints) == [list(range(50, 150))]
