"""Learning curves, and predictions for recordings that do not exist yet."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from experiments import answer_of_script
from recognition.bundles import Trained
from speakerid.base.errors import UserError
from speakerid.cli import run
from speakerid.evaluation.extrapolation import interval, predict
from speakerid.evaluation.learning_curve import Amount, LearningCurve, Recordings, measure
from speakerid.evaluation.recording_plan import MICROPHONE, ONE_DAY, plan

ROOT = Path(__file__).resolve().parents[2]
SPEAKERS, DAYS, EACH = 6, 4, 6


def corpus(day: float, seed: int = 0, days: int = DAYS) -> Recordings:
    """Recordings whose features are those of the speaker, of the day, and noise."""
    rng = np.random.default_rng(seed)
    speakers = np.arange(SPEAKERS).repeat(days * EACH)
    sessions = np.arange(SPEAKERS * days).repeat(EACH)
    voices, rooms = rng.normal(size=(SPEAKERS, 8)), day * rng.normal(size=(SPEAKERS * days, 8))
    features = voices[speakers] + rooms[sessions] + 0.3 * rng.normal(size=(len(speakers), 8))
    return Recordings(features, speakers, sessions, np.full(len(speakers), 3.0))


def part(of: Recordings, rows: NDArray[np.bool_]) -> Recordings:
    return Recordings(of.features[rows], of.speakers[rows], of.sessions[rows], of.seconds[rows])


def by_days(curve: LearningCurve) -> list[float]:
    """Accuracy for each number of days, with all of their recordings."""
    each = max(amount.each for amount in curve.amounts)
    return [float(hits.mean()) for amount, hits in zip(curve.amounts, curve.hits, strict=True) if amount.each == each]


def test_more_days_help_where_days_differ() -> None:
    one, two, three = np.mean([by_days(measure(corpus(1.0, seed), draws=5)) for seed in range(4)], axis=0)
    assert one < two < three < 1
    assert min(by_days(measure(corpus(day=0.0), draws=3))) > 0.9  # one day is enough if days are alike


def test_a_tested_day_is_in_no_subset() -> None:
    """Features that say which day it is, and nothing of the speaker, are worth no more than guessing."""
    some = corpus(day=0.0)
    days = np.random.default_rng(1).normal(size=(SPEAKERS * DAYS, 40))
    curve = measure(Recordings(days[some.sessions], some.speakers, some.sessions, some.seconds), draws=20)
    assert curve.hits.mean() < 2 / SPEAKERS


def test_speakers_with_fewer_days_are_left_out() -> None:
    some = corpus(day=0.5)
    keep = (some.speakers > 0) | (some.sessions < 2)
    curve = measure(part(some, keep), draws=2)
    assert (curve.most, curve.left_out) == (Amount(DAYS, EACH), 1)
    assert "5 speakers with 4 days; 1 with fewer days are left out" in plan(curve, "x").title


def test_without_a_second_day_another_is_not_estimated() -> None:
    found = plan(measure(corpus(day=1.0, days=1), draws=3), "x")
    assert ONE_DAY in found.sentences
    assert MICROPHONE in found.sentences
    assert [row.label for row in found.predicted] == ["predicted: all there is", "predicted: five more recordings"]


def test_one_speaker_is_refused() -> None:
    with pytest.raises(UserError, match="found 1 speakers"):
        measure(part(corpus(day=1.0), np.arange(SPEAKERS * DAYS * EACH) < 12))


def known_curve(rng: np.random.Generator, scale: float, days: float, each: float) -> tuple[LearningCurve, list[float]]:
    """A curve measured on speakers whose errors are a power law, and their true accuracies for three plans."""
    speakers, tested = int(rng.integers(5, 30)), 100
    effect = np.exp(rng.normal(0, 0.5, speakers))

    def accuracy(amount: Amount) -> NDArray[np.float64]:
        return np.clip(1 - scale * amount.days**-days * amount.each**-each * effect, 0.001, 0.999)

    amounts = [Amount(k, n) for k in (1, 2, 3) for n in (1, 2, 3, 5, 8, 12)]
    hits = np.stack([rng.binomial(tested, accuracy(amount)) / tested for amount in amounts])
    curve = LearningCurve(amounts, hits, speakers * tested, Amount(4, 12), np.arange(speakers), 0, 3.0)
    return curve, [float(accuracy(amount).mean()) for amount in PLANS]


PLANS = [Amount(4, 12), Amount(5, 12), Amount(4, 13.25)]


@pytest.mark.parametrize(("scale", "days", "each"), [(0.7, 0.5, 0.3), (0.5, 0.2, 0.6), (0.9, 0.1, 0.1), (0.3, 1, 0.5)])
def test_intervals_cover_a_known_curve(scale: float, days: float, each: float) -> None:
    covered = []
    for seed in range(12):
        curve, truth = known_curve(np.random.default_rng(seed), scale, days, each)
        low, high = interval(predict(curve, PLANS, resamples=60, seed=seed)[1])
        covered.append((low <= truth) & (truth <= high))
        assert (high - low).max() < 0.5
    assert np.mean(covered) >= 0.9


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000))
def test_more_is_never_predicted_to_harm(seed: int) -> None:
    rng = np.random.default_rng(seed)
    amounts = [Amount(k, n) for k in (1, 2) for n in (1, 3, 9)]
    curve = LearningCurve(amounts, rng.random((6, 4)), 400, Amount(3, 9), np.arange(4), 0, 3.0)
    expected, values = predict(curve, [Amount(2, 9), Amount(3, 9), Amount(3, 20)], resamples=5)
    assert (np.diff(expected) >= -1e-9).all()
    assert ((values >= 0) & (values <= 1)).all()
    assert expected[0] == pytest.approx(curve.hits[-1].mean())


def test_the_command(trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "plan.png"
    command = ["plan", str(trained.corpus), "--draws", "1", "--out", str(picture)]
    assert run([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["predicted"][0]["low"] <= found["predicted"][0]["accuracy"] <= found["predicted"][0]["high"]
    assert [row["label"] for row in found["gains"]] == ["predicted: five more recordings", "predicted: another day"]
    assert run(command) == 0  # the picture is replaced
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("6 speakers with ")
    assert lines[2].split() == ["days", "recordings", "minutes", "identified"]
    assert picture.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UserError, match=r"--out: found a\.jpg, expected a name that ends in \.png"):
        run([*command[:2], "--out", "a.jpg"])
    with pytest.raises(UserError, match="--bundle: was trained on 6 speakers of the corpus"):
        run([*command[:2], "--bundle", str(trained.path)])


def test_the_script(trained: Trained, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    script = ROOT / "scripts" / "research" / "plans.py"
    assert answer_of_script(monkeypatch, script, trained.corpus, "--draws", 1) == 0
    assert capsys.readouterr().out.startswith("| corpus | from | to | before | predicted | measured |")
