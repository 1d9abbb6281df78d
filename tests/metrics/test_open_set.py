"""Open-set identification compared with simple loops."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from speakerid.metrics.open_set import Answers, open_set_curve, open_set_rates

SPEAKERS = 3
row = st.lists(st.integers(0, 6), min_size=SPEAKERS, max_size=SPEAKERS)
known_rows = st.lists(st.tuples(row, st.integers(0, SPEAKERS - 1)), min_size=1, max_size=12)
stranger_rows = st.lists(row, min_size=1, max_size=12)


def rates(known: list[tuple[list[int], int]], strangers: list[list[int]], threshold: float) -> tuple[float, float]:
    named = sum(max(scores) >= threshold for scores in strangers)
    right = sum(scores[label] >= threshold and scores.index(max(scores)) == label for scores, label in known)
    return named / len(strangers), right / len(known)


def answers(known: list[tuple[list[int], int]], strangers: list[list[int]]) -> Answers:
    scores, labels = zip(*known, strict=True)
    return Answers.of(np.array(scores, float), np.array(labels), np.array(strangers, float))


@given(known_rows, stranger_rows)
def test_the_curve_matches_counting(known: list[tuple[list[int], int]], strangers: list[list[int]]) -> None:
    found = answers(known, strangers)
    curve = open_set_curve(found)
    for threshold, *both in zip(curve.thresholds, curve.false_accepts, curve.identified, strict=True):
        assert both == pytest.approx(rates(known, strangers, threshold))
        assert open_set_rates(found, threshold) == pytest.approx(rates(known, strangers, threshold))
    assert curve.identified[0] == pytest.approx(found.right.mean())
    assert (curve.false_accepts[-1], curve.identified[-1]) == (0, 0)


@given(known_rows, stranger_rows, st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0]))
def test_as_many_are_identified_as_the_false_accepts_allow(
    known: list[tuple[list[int], int]], strangers: list[list[int]], most: float
) -> None:
    levels = [score for scores, _ in known for score in scores] + [max(scores) for scores in strangers]
    allowed = [rates(known, strangers, threshold) for threshold in [*levels, math.inf]]
    expected = max(right for named, right in allowed if named <= most)
    assert open_set_curve(answers(known, strangers)).identified_at(most) == pytest.approx(expected)


def test_a_threshold_of_each_utterance() -> None:
    found = Answers(np.array([0.5, 0.7, 0.9]), np.array([True, True, False]), np.array([0.4, 0.6]))
    assert open_set_rates(found, np.array([0.6, 0.6, 0.6]), np.array([0.3, 0.7])) == (1 / 2, 1 / 3)


@given(known_rows, stranger_rows, st.data())
def test_weights_repeat_utterances(
    known: list[tuple[list[int], int]], strangers: list[list[int]], data: st.DataObject
) -> None:
    def drawn(rows: list) -> NDArray[np.int64]:
        return np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows)).filter(any)))

    of_known, of_strangers = drawn(known), drawn(strangers)
    weighted = open_set_curve(answers(known, strangers), of_known, of_strangers)
    again = [k for k, count in zip(known, of_known, strict=True) for _ in range(count)]
    others = [s for s, count in zip(strangers, of_strangers, strict=True) for _ in range(count)]
    for threshold, *both in zip(weighted.thresholds, weighted.false_accepts, weighted.identified, strict=True):
        assert both == pytest.approx(rates(again, others, threshold))
        alike = open_set_rates(answers(known, strangers), threshold, None, of_known, of_strangers)
        assert alike == pytest.approx(rates(again, others, threshold))


def test_an_infinite_score_is_not_given_a_name_by_the_last_threshold() -> None:
    found = open_set_curve(Answers(np.array([math.inf, 1.0]), np.array([True, True]), np.array([math.inf, -math.inf])))
    assert found.thresholds.tolist() == [-math.inf, 1, math.inf, math.inf]
    assert found.false_accepts.tolist() == [1, 0.5, 0.5, 0]
    assert found.identified.tolist() == [1, 1, 0.5, 0]
    assert found.identified_at(0.01) == 0
