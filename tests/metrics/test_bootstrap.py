import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from speakerid.metrics.bootstrap import bootstrap_interval, resampled


@given(st.lists(st.integers(0, 5), max_size=30), st.integers(0, 99))
def test_speakers_are_drawn_and_then_their_utterances(labels: list[int], seed: int) -> None:
    speakers = np.array(labels, int)
    counts = resampled(speakers, np.random.default_rng(seed))
    sizes = {speaker: labels.count(speaker) for speaker in labels}
    times = {speaker: counts[speakers == speaker].sum() / size for speaker, size in sizes.items()}
    assert all(time == int(time) for time in times.values())  # each draw of a speaker has as many utterances as it has
    assert sum(times.values()) == len(sizes)


def test_utterances_are_drawn_with_replacement() -> None:
    counts = [resampled(np.zeros(4, int), np.random.default_rng(seed)) for seed in range(500)]
    assert np.mean(counts, 0) == pytest.approx(np.ones(4), abs=0.2)
    # Binomial: 4 draws with probability 1/4.
    assert np.var(counts, 0) == pytest.approx(np.full(4, 0.75), abs=0.25)


def test_the_interval_of_a_mean_is_the_normal_one_of_its_speakers() -> None:
    rng = np.random.default_rng(0)
    of_speaker = rng.normal(size=300)
    speakers = np.arange(300).repeat(2)
    values = of_speaker[speakers]  # utterances of a speaker are equal, so there are effectively 300 and not 600
    low, high = bootstrap_interval(lambda counts: np.average(values, weights=counts), speakers, resamples=2000)
    half = 1.96 * of_speaker.std() / np.sqrt(300)
    assert low == pytest.approx(of_speaker.mean() - half, abs=0.2 * half)
    assert high == pytest.approx(of_speaker.mean() + half, abs=0.2 * half)


def test_groups_are_drawn_independently_and_by_the_seed() -> None:
    known, strangers = np.arange(5), np.arange(7)
    seen: list[tuple[tuple[int, ...], tuple[int, ...]]] = []

    def statistic(of_known: NDArray[np.int64], of_strangers: NDArray[np.int64]) -> list[float]:
        seen.append((tuple(of_known.tolist()), tuple(of_strangers.tolist())))
        return [float(of_known[0]), float(of_strangers[0])]

    first = bootstrap_interval(statistic, known, strangers, resamples=20)
    assert [bound.shape for bound in first] == [(2,), (2,)]
    assert {(len(a), len(b)) for a, b in seen} == {(5, 7)}
    assert len(set(seen)) == 20
    assert np.array_equal(first, bootstrap_interval(statistic, known, strangers, resamples=20))
    bootstrap_interval(statistic, known, strangers, resamples=20, seed=1)
    assert seen[:20] == seen[20:40] != seen[40:]


def test_undefined_resamples_are_left_out() -> None:
    def statistic(counts: NDArray[np.int64]) -> list[float]:
        return [np.nan, np.nan if counts[0] == 0 else 2.0, 3.0]

    low, high = bootstrap_interval(statistic, np.arange(3), resamples=50)
    assert np.isnan([low[0], high[0]]).all()
    assert low[1:].tolist() == high[1:].tolist() == [2.0, 3.0]


def test_infinite_resamples_are_bounds_like_others() -> None:
    def statistic(counts: NDArray[np.int64]) -> list[float]:
        return [np.inf, -np.inf if counts[0] == 0 else np.inf, np.inf if counts[0] == 0 else 2.0]

    low, high = bootstrap_interval(statistic, np.arange(3), resamples=50)
    assert low.tolist() == [np.inf, -np.inf, 2.0]
    assert high.tolist() == [np.inf, np.inf, np.inf]


def test_one_speaker_and_one_utterance() -> None:
    low, high = bootstrap_interval(lambda counts: float(counts.sum()), np.zeros(1, int), resamples=20)
    assert low == high == 1
