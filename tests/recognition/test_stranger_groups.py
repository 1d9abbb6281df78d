"""Voices of strangers are grouped by speaker, over pieces and recordings."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from speakerid.recognition.decision import RATES, Rule, Thresholds
from speakerid.recognition.plda import Plda
from speakerid.recognition.stranger_groups import groups_of

WIDTH = 32
PLDA = Plda(within=0.004, between=np.full(WIDTH, 0.03))
SECONDS = np.array([1.0, 8.0])
THRESHOLDS = Thresholds(SECONDS, np.array(RATES), np.tile(np.linspace(9, 1, len(RATES)), (2, 1)))
RULE = Rule(np.array([10.0, 20.0]), np.array([0.3, 0.1]), THRESHOLDS)


def voices(speakers: list[int], seed: int, within: float = PLDA.within) -> NDArray[np.float64]:
    """Voice prints drawn from the model, one per entry."""
    rng = np.random.default_rng(seed)
    means = rng.normal(0, np.sqrt(PLDA.between), (1 + max(speakers, default=0), WIDTH))
    prints = means[speakers] + rng.normal(0, np.sqrt(within), (len(speakers), WIDTH))
    return prints / np.linalg.norm(prints, axis=1, keepdims=True)


def same(one: NDArray[np.integer], other: NDArray[np.integer]) -> bool:
    return bool(((one[:, None] == one) == (other[:, None] == other)).all())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rule", [RULE, None])
def test_voices_of_one_person_are_one_group(seed: int, rule: Rule | None) -> None:
    speakers = [0, 1, 0, 2, 1, 2, 3, 0]
    found = groups_of(voices(speakers, seed), np.full(8, 8.0), PLDA, rule)
    assert found.tolist() == [0, 1, 0, 2, 1, 2, 3, 0]


@given(st.lists(st.integers(0, 4), max_size=12), st.randoms(use_true_random=False), st.integers(0, 2**32 - 1))
def test_groups_do_not_depend_on_the_order(speakers: list[int], shuffle: Random, seed: int) -> None:
    prints, seconds = (
        voices(speakers, seed, 0.02).reshape(-1, WIDTH),
        np.random.default_rng(seed).uniform(0.5, 20, len(speakers)),
    )
    order = list(range(len(speakers)))
    shuffle.shuffle(order)
    found, other = groups_of(prints, seconds, PLDA, RULE), groups_of(prints[order], seconds[order], PLDA, RULE)
    assert same(found[order], other)
    firsts = [found.tolist().index(group) for group in range(found.max(initial=-1) + 1)]
    assert firsts == sorted(firsts)  # numbered in the order of the first voices, without gaps


def test_fewer_pairs_are_merged_at_a_lower_rate_of_false_accepts() -> None:
    prints, seconds = voices([0, 1, 2, 3] * 8, 1, 0.012), np.full(32, 2.0)
    counts = [groups_of(prints, seconds, PLDA, RULE, rate).max() + 1 for rate in (0.5, 0.05, 0.001)]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]


def test_short_voices_need_a_higher_score() -> None:
    """The rule for 1 s asks for a score of 0.3, that for 8 s for 0.1."""
    one = voices([0], 0)[0]
    rng = np.random.default_rng(1)
    others = one + rng.normal(0, 0.14, (1000, WIDTH))
    others /= np.linalg.norm(others, axis=1, keepdims=True)
    scores = PLDA.score_pairs(one, others)
    other = others[np.flatnonzero((scores > 0.12) & (scores < 0.28))[0]]
    prints = np.stack([one, other])
    assert groups_of(prints, np.array([8.0, 8.0]), PLDA, RULE).tolist() == [0, 0]
    assert groups_of(prints, np.array([8.0, 1.0]), PLDA, RULE).tolist() == [0, 1]
