import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from speakerid.metrics.classification import accuracy, macro_accuracy, wilson_interval

labels_and_guesses = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1)


def test_every_speaker_counts_the_same() -> None:
    labels = torch.tensor([0, 0, 0, 0, 0, 0, 0, 0, 0, 2])
    predicted = torch.zeros(10, dtype=torch.long)
    assert accuracy(predicted, labels) == pytest.approx(0.9)
    assert macro_accuracy(predicted, labels) == 0.5


@given(labels_and_guesses)
def test_against_counting(pairs: list[tuple[int, int]]) -> None:
    labels, predicted = (torch.tensor(column) for column in zip(*pairs, strict=True))
    assert accuracy(predicted, labels) == pytest.approx(sum(a == b for a, b in pairs) / len(pairs))
    speakers = {label for label, _ in pairs}
    shares = [
        sum(a == b for a, b in pairs if a == speaker) / sum(a == speaker for a, _ in pairs) for speaker in speakers
    ]
    assert macro_accuracy(predicted, labels) == pytest.approx(sum(shares) / len(shares))


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_matches_scipy(counts: tuple[int, int]) -> None:
    right, count = counts
    expected = binomtest(right, count).proportion_ci(0.95, method="wilson")
    assert wilson_interval(right / count, count) == pytest.approx((expected.low, expected.high), abs=1e-4)


def test_the_interval_without_utterances_is_everything() -> None:
    assert wilson_interval(0.0, 0) == (0.0, 1.0)
