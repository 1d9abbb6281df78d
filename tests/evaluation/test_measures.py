"""Rows of figures compared with the measures, which have tests of their own."""

import numpy as np
import pytest

from speakerid.evaluation import measures as recognition_measures
from speakerid.evaluation.measures import (
    Decided,
    Scored,
    ScoredPairs,
    confusions,
    identification_row,
    verification_row,
)
from speakerid.evaluation.results import (
    ACCEPTED,
    CLLR,
    DIR,
    ECE,
    EER,
    IDENTIFIED,
    MACRO,
    MIN_CLLR,
    MIN_DCF_1,
    MIN_DCF_5,
    MISSED,
    NAMED_STRANGERS,
    TOP_1,
    TOP_5,
    Row,
)
from speakerid.metrics.calibration import reliability
from speakerid.metrics.detection import cllr, det_curve, equal_error_rate, error_rates
from speakerid.metrics.open_set import Answers, open_set_curve, open_set_rates

RNG = np.random.default_rng(0)
LABELS = np.array([0] * 10 + [1] * 5 + [2] * 3 + [3, 4, 5, 6])
KNOWN = RNG.normal(size=(len(LABELS), 7)) + 2 * np.eye(7)[LABELS]
SCORED = Scored(KNOWN, LABELS, RNG.normal(size=(9, 7)), np.arange(9) // 3)


def values(row: Row) -> dict[str, float]:
    assert all(estimate.low <= estimate.high for estimate in row.estimates.values())
    return {measure.name: estimate.value for measure, estimate in row.estimates.items()}


def decided(scored: Scored) -> Decided:
    answers = scored.answers
    odds = Answers(2 * answers.known - 3, answers.right, 2 * answers.strangers - 3)
    return Decided(odds, RNG.uniform(-1, 1, len(odds.known)), RNG.uniform(-1, 1, len(odds.strangers)))


def test_identification() -> None:
    order = np.argsort(-KNOWN, axis=1)
    right = order[:, 0] == LABELS
    targets = np.eye(7, dtype=bool)[LABELS].ravel()
    rule = decided(SCORED)
    row = identification_row("whole", SCORED, rule, resamples=20)
    found = values(row)
    assert (row.name, row.size) == ("whole", "22")
    assert found[TOP_1.name] == pytest.approx(right.mean())
    assert found[TOP_5.name] == pytest.approx((order[:, :5] == LABELS[:, None]).any(1).mean())
    assert found[MACRO.name] == pytest.approx(np.mean([right[speaker == LABELS].mean() for speaker in range(7)]))
    assert found[EER.name] == pytest.approx(equal_error_rate(det_curve(KNOWN.ravel(), targets)))
    assert found[DIR.name] == open_set_curve(rule.answers).identified_at(0.01)
    named, identified = open_set_rates(rule.answers, rule.thresholds, rule.stranger_thresholds)
    assert (found[NAMED_STRANGERS.name], found[IDENTIFIED.name]) == pytest.approx((named, identified))
    assert found[ECE.name] == rule.reliability().expected_calibration_error


def test_known_speakers_and_strangers_are_equally_frequent_to_a_probability() -> None:
    # Nine answers to known speakers, two thirds of them right, and one to a stranger; all have probability 1/2.
    right = np.arange(9) % 3 > 0
    rule = Decided(Answers(np.zeros(9), right, np.zeros(1)), np.zeros(9), np.zeros(1))
    found = rule.reliability()
    assert found.observed[5] == pytest.approx(1 / 3)
    assert found.expected_calibration_error == pytest.approx(1 / 2 - 1 / 3)


def test_what_cannot_be_measured_is_absent() -> None:
    nobody = Scored(KNOWN, LABELS, np.empty((0, 7)), np.empty(0, int))
    found = identification_row("whole", nobody, decided(nobody), resamples=3).estimates
    assert not {DIR, NAMED_STRANGERS, ECE} & found.keys()
    assert IDENTIFIED in found
    assert IDENTIFIED not in identification_row("no thresholds", SCORED, resamples=3).estimates
    one = Scored(KNOWN[:10, :1], LABELS[:10], SCORED.strangers[:, :1], SCORED.stranger_speakers)
    assert identification_row("one speaker", one, resamples=3).estimates.keys() == {TOP_1, MACRO, DIR}
    few = Scored(KNOWN[:18, :3], LABELS[:18], SCORED.strangers[:, :3], SCORED.stranger_speakers)
    assert TOP_5 not in identification_row("three speakers", few, resamples=3).estimates


def test_many_trials_are_thinned(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = set(zip(*(side.tolist() for side in SCORED.trials()), strict=True))
    assert everything == {(row, speaker) for row in range(22) for speaker in range(7)}
    monkeypatch.setattr(recognition_measures, "MOST_TRIALS", 22 * 3)
    utterances, speakers = SCORED.trials()
    some = set(zip(utterances.tolist(), speakers.tolist(), strict=True))
    assert len(some) == len(utterances) == 22 * 3
    assert {(row, int(label)) for row, label in enumerate(LABELS)} < some < everything


def test_verification() -> None:
    speakers = np.arange(8) // 2
    first, second = np.triu_indices(8, 1)
    targets = speakers[first] == speakers[second]
    scores = RNG.normal(size=len(first)) + targets
    ratios, thresholds = 2 * scores - 1, RNG.uniform(-1, 1, len(first))
    row = verification_row("drawn", ScoredPairs(scores, targets, first, second, ratios, thresholds), speakers, 20)
    found = values(row)
    assert row.size == "4 + 24"
    assert found[EER.name] == equal_error_rate(det_curve(scores, targets))
    assert found[CLLR.name] == pytest.approx(cllr(ratios, targets))
    assert (found[ACCEPTED.name], found[MISSED.name]) == pytest.approx(error_rates(ratios, targets, thresholds))
    counts = np.where(targets, 24, 4)  # so that both kinds are equally frequent
    balanced = reliability(1 / (1 + np.exp(-ratios)), targets, counts)
    assert found[ECE.name] == pytest.approx(balanced.expected_calibration_error)
    plain = verification_row("drawn", ScoredPairs(scores, targets, first, second), speakers, 20)
    assert plain.estimates.keys() == {EER, MIN_DCF_1, MIN_DCF_5, MIN_CLLR}


def test_a_single_speaker_drawn_has_no_non_target_trials() -> None:
    targets = np.array([True, True, False, False])
    sides = np.array([0, 2, 0, 1]), np.array([1, 3, 2, 3])
    row = verification_row("drawn", ScoredPairs(np.array([2.0, 3, 1, 2.5]), targets, *sides), np.array([0, 0, 1, 1]))
    assert 0 <= row.estimates[EER].low <= row.estimates[EER].high <= 0.5


def test_the_most_confused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recognition_measures, "MOST_CONFUSED", 2)
    labels, named = np.array([0, 0, 1, 2, 2, 2, 3, 3]), np.array([0, 1, 1, 3, 3, 0, 2, 3])
    found = confusions(labels, named, "abcd")
    assert found is not None
    assert found.speakers == ("c", "d")
    assert found.counts.tolist() == [[0, 2, 1], [1, 1, 0]]
    assert confusions(labels, labels, "abcd") is None
