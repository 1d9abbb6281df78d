"""Rows of figures against the measures they are made of, each tested by itself."""

import numpy as np
import pytest

from speakerid.evaluation import recognition_measures
from speakerid.evaluation.detection import cllr, det_curve, equal_error_rate, error_rates
from speakerid.evaluation.open_set import open_set_curve, open_set_rates
from speakerid.evaluation.recognition_measures import (
    Scored,
    confusions,
    embedding_map,
    pairs_row,
    ranking_row,
    threshold_row,
)
from speakerid.evaluation.recognition_results import (
    ACCEPTED,
    CLLR,
    DIR,
    EER,
    IDENTIFIED,
    MACRO,
    MISSED,
    NAMED_STRANGERS,
    TOP_1,
    TOP_5,
    Row,
)

RNG = np.random.default_rng(0)
LABELS = np.array([0] * 10 + [1] * 5 + [2] * 3 + [3, 4, 5, 6])
KNOWN = RNG.normal(size=(len(LABELS), 7)) + 2 * np.eye(7)[LABELS]
SCORED = Scored(KNOWN, LABELS, RNG.normal(size=(9, 7)), np.arange(9) // 3)


def values(row: Row) -> dict[str, float]:
    assert all(estimate.low <= estimate.high for estimate in row.estimates.values())
    return {measure.name: estimate.value for measure, estimate in row.estimates.items()}


def test_ranking() -> None:
    row = ranking_row("whole", SCORED, 3 * KNOWN, resamples=20)
    order = np.argsort(-KNOWN, axis=1)
    right = order[:, 0] == LABELS
    targets = np.eye(7, dtype=bool)[LABELS].ravel()
    found = values(row)
    assert (row.name, row.size) == ("whole", "22")
    assert found[TOP_1.name] == pytest.approx(right.mean())
    assert found[TOP_5.name] == pytest.approx((order[:, :5] == LABELS[:, None]).any(1).mean())
    assert found[MACRO.name] == pytest.approx(np.mean([right[speaker == LABELS].mean() for speaker in range(7)]))
    assert found[EER.name] == pytest.approx(equal_error_rate(det_curve(KNOWN.ravel(), targets)))
    assert found[CLLR.name] == pytest.approx(cllr(3 * KNOWN.ravel(), targets))
    assert found[DIR.name] == open_set_curve(SCORED.answers).identified_at(0.01)


def test_thresholds_of_each_utterance() -> None:
    thresholds, of_strangers = RNG.uniform(0, 2, len(LABELS)), RNG.uniform(0, 2, 9)
    found = values(threshold_row("whole", SCORED, thresholds, of_strangers, resamples=20))
    named, identified = open_set_rates(SCORED.answers, thresholds, of_strangers)
    targets = np.eye(7, dtype=bool)[LABELS].ravel()
    accepted, missed = error_rates(KNOWN.ravel(), targets, thresholds.repeat(7))
    expected = {NAMED_STRANGERS: named, IDENTIFIED: identified, ACCEPTED: accepted, MISSED: missed}
    assert found == pytest.approx({measure.name: value for measure, value in expected.items()})


def test_what_cannot_be_measured_is_absent() -> None:
    nobody = Scored(KNOWN, LABELS, np.empty((0, 7)), np.empty(0, int))
    assert not {CLLR, DIR} & ranking_row("whole", nobody, resamples=3).estimates.keys()
    none = np.empty(0)
    assert NAMED_STRANGERS not in threshold_row("whole", nobody, np.zeros(22), none, resamples=3).estimates
    one = Scored(KNOWN[:10, :1], LABELS[:10], SCORED.strangers[:, :1], SCORED.stranger_speakers)
    assert ranking_row("one speaker", one, KNOWN[:10, :1], resamples=3).estimates.keys() == {TOP_1, MACRO, DIR}
    few = Scored(KNOWN[:18, :3], LABELS[:18], SCORED.strangers[:, :3], SCORED.stranger_speakers)
    assert TOP_5 not in ranking_row("three speakers", few, resamples=3).estimates


def test_many_trials_are_thinned(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = set(zip(*(side.tolist() for side in SCORED.trials()), strict=True))
    assert everything == {(row, speaker) for row in range(22) for speaker in range(7)}
    monkeypatch.setattr(recognition_measures, "MOST_TRIALS", 22 * 3)
    utterances, speakers = SCORED.trials()
    some = set(zip(utterances.tolist(), speakers.tolist(), strict=True))
    assert len(some) == len(utterances) == 22 * 3
    assert {(row, int(label)) for row, label in enumerate(LABELS)} < some < everything


def test_pairs() -> None:
    speakers = np.arange(8) // 2
    first, second = np.triu_indices(8, 1)
    targets = speakers[first] == speakers[second]
    scores = RNG.normal(size=len(first)) + targets
    row = pairs_row("drawn", scores, targets, (first, second), speakers, resamples=20)
    assert row.size == "4 target and 24 non-target trials"
    assert values(row)[EER.name] == equal_error_rate(det_curve(scores, targets))


def test_a_single_speaker_drawn_has_no_non_target_trials() -> None:
    speakers = np.array([0, 0, 1, 1])
    sides = np.array([0, 2, 0, 1]), np.array([1, 3, 2, 3])
    row = pairs_row("drawn", np.array([2.0, 3, 1, 2.5]), np.array([True, True, False, False]), sides, speakers)
    assert 0 <= row.estimates[EER].low <= row.estimates[EER].high <= 0.5


def test_the_most_confused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recognition_measures, "MOST_CONFUSED", 2)
    labels, named = np.array([0, 0, 1, 2, 2, 2, 3, 3]), np.array([0, 1, 1, 3, 3, 0, 2, 3])
    found = confusions(labels, named, "abcd")
    assert found is not None
    assert found.speakers == ("c", "d")
    assert found.counts.tolist() == [[0, 2, 1], [1, 1, 0]]
    assert confusions(labels, labels, "abcd") is None


@pytest.mark.parametrize(("count", "method"), [(2, "principal components"), (60, "t-SNE")])
def test_the_map_is_the_same_again_and_keeps_neighbours(count: int, method: str) -> None:
    labels = np.arange(count) % 2
    embeddings = RNG.normal(size=(count, 5)) + 20 * labels[:, None]
    first, again = (embedding_map(embeddings, labels, "ab") for _ in range(2))
    assert first.method == method
    assert np.array_equal(first.points, again.points)
    of_a, of_b = (first.points[labels == label] for label in (0, 1))
    between = np.linalg.norm(of_a.mean(0) - of_b.mean(0))
    assert between > 2 * max(np.linalg.norm(side - side.mean(0), axis=1).mean() for side in (of_a, of_b))


def test_of_many_embeddings_some_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recognition_measures, "MOST_POINTS", 10)
    found = embedding_map(RNG.normal(size=(50, 4)), np.arange(50), [str(n) for n in range(50)])
    assert len(found.points) == len(set(found.labels)) == 10
