from dataclasses import replace

import numpy as np

from speakerid.recognition.calibration_set import CalibrationSet
from speakerid.recognition.fitting import fit_identification
from speakerid.recognition.plda import Plda
from speakerid.recognition.profiles import Profiles, profiles_of


def unit(x: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def few_speakers(rng: np.random.Generator) -> tuple[Profiles, np.ndarray]:
    places = np.eye(4, 6)
    labels = np.repeat(np.arange(4), 10)
    plda = Plda(0.02, np.full(6, 0.15))
    return profiles_of("abcd", plda, unit(places[labels] + 0.1 * rng.normal(size=(40, 6))), labels), places


def evidence(rng: np.random.Generator, places: np.ndarray, seconds: float, known: int, spread: float) -> CalibrationSet:
    labels = np.arange(known) % 4
    prints = unit(places[labels] + spread * rng.normal(size=(known, 6)))
    strangers = unit(rng.normal(size=(60, 6)))
    return CalibrationSet(seconds, prints, np.array(list("abcd"))[labels], strangers, np.arange(60) // 4)


def test_utterances_too_short_for_a_row_count_as_they_do_at_their_own_duration() -> None:
    rng = np.random.default_rng(0)
    profiles, places = few_speakers(rng)
    short, long = evidence(rng, places, 1.0, 80, 0.5), evidence(rng, places, 2.0, 40, 0.05)
    (alone,) = fit_identification([long], profiles)[1]
    first, second = fit_identification([short, long], profiles)[1]
    assert first.identified < alone.identified - 0.1
    assert second.known == 40
    np.testing.assert_allclose(second.identified, (40 * alone.identified + 40 * first.identified) / 80)
    assert second.false_accepts == alone.false_accepts


def test_corrections_make_promises_smaller() -> None:
    rng = np.random.default_rng(1)
    profiles, places = few_speakers(rng)
    some = evidence(rng, places, 1.0, 80, 0.3)
    modest = replace(some, corrections=np.tile(np.array([-0.5, 0], np.float32), (80, 1)))
    whole, less = (fit_identification([one], profiles)[1][0] for one in (some, modest))
    assert less.identified < whole.identified


def test_joined_utterances_make_thresholds_and_no_promises() -> None:
    rng = np.random.default_rng(2)
    profiles, places = few_speakers(rng)
    short, long = evidence(rng, places, 1.0, 80, 0.3), evidence(rng, places, 8.0, 40, 0.05)
    rule, promised = fit_identification([short, replace(long, joined=True)], profiles)
    assert rule.thresholds.seconds.tolist() == [1, 8]
    assert promised == fit_identification([short], profiles)[1]
