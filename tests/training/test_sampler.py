from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speakerid.training.sampler import Sampler

SEED = 3


def drawn(own: list[int], company: list[int], batch_size: int, share: float = 0.5, seed: int = SEED) -> Sampler:
    """`Sampler` from classes with these numbers of utterances; those of company come last."""
    labels = np.repeat(np.arange(len(own) + len(company)), own + company)
    return Sampler(np.arange(len(labels)), labels, labels >= len(own), batch_size, share, seed)


corpora = st.tuples(
    st.lists(st.integers(1, 9), min_size=1, max_size=6),
    st.lists(st.integers(1, 9), min_size=1, max_size=9),
    st.integers(1, 12),
    st.floats(0, 0.99),
)


@settings(deadline=None, max_examples=60)
@given(corpora)
def test_company_has_its_rows_and_the_rest_are_epochs_of_the_speakers(
    corpus: tuple[list[int], list[int], int, float],
) -> None:
    own, company, batch_size, share = corpus
    draws, count = drawn(own, company, batch_size, share), sum(own)
    largest = min(share, len(company) / (len(own) + len(company)))
    steps = 3 * count + 1
    batches = [draws[step].tolist() for step in range(steps)]
    rows = [sum(utterance >= count for utterance in batch) for batch in batches]
    assert len(set(rows)) == 1
    assert rows[0] < batch_size
    if share and batch_size > 1:
        assert 1 <= rows[0] <= max(1, round(batch_size * largest))
    else:
        assert rows[0] == 0
    speakers = [[utterance for utterance in batch if utterance < count] for batch in batches]
    per_batch = batch_size - rows[0]
    expected = np.concatenate(
        [np.random.default_rng([SEED, 0, epoch]).permutation(count) for epoch in range(steps * per_batch // count + 1)]
    )
    for step, batch in enumerate(speakers):
        assert sorted(batch) == sorted(expected[step * per_batch : (step + 1) * per_batch].tolist())


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 9), st.floats(0, 0.99))
def test_without_company_a_batch_is_a_slice_of_the_permutations(own: list[int], size: int, share: float) -> None:
    draws, count = drawn(own, [], size, share), sum(own)
    order = np.concatenate([np.random.default_rng([SEED, 0, epoch]).permutation(count) for epoch in range(40 * size)])
    for step in (0, 1, 7, 39):
        assert draws[step].tolist() == order[step * size : (step + 1) * size].tolist()


@settings(deadline=None, max_examples=30)
@given(corpora, st.lists(st.integers(0, 40), min_size=1, max_size=6))
def test_a_batch_depends_only_on_its_step(corpus: tuple[list[int], list[int], int, float], steps: list[int]) -> None:
    used = drawn(*corpus)
    for step in steps:
        assert used[step].tolist() == drawn(*corpus)[step].tolist()


def test_people_of_company_are_equally_frequent_whatever_they_said() -> None:
    draws = drawn([5, 5, 5], [1, 2, 1_000], batch_size=8)
    found = Counter(min(int(u) - 15, 3) for step in range(1_500) for u in draws[step] if u >= 15)
    total = sum(found.values())
    assert total == 4 * 1_500
    shares = [found[0] / total, (found[1] + found[2]) / total, found[3] / total]
    assert shares == pytest.approx([1 / 3] * 3, abs=0.03)


@pytest.mark.parametrize(
    ("people", "rows"),
    [(1, 2), (3, 5), (9, 8), (900, 8)],
)
def test_company_is_not_drawn_more_often_than_speakers(people: int, rows: int) -> None:
    batch = drawn([2] * 7, [2] * people, batch_size=16)[0]
    assert (batch >= 14).sum() == rows


def test_company_has_different_rows_in_every_batch() -> None:
    draws = drawn([5] * 5, [5] * 5, batch_size=6)
    assert len({tuple((draws[step] >= 25).tolist()) for step in range(20)}) > 10
