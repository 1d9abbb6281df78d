"""Shifted voices sound like other vocal tracts, and stand for strangers if there are no others."""

from pathlib import Path

import numpy as np
import pytest

from recognition.bundles import Trained
from speakerid.audio.log_mel import LogMel
from speakerid.cli import run
from speakerid.config import FeatureConfig
from speakerid.preparation.prepare import Options, prepare
from speakerid.recognition import make_bundle as exporting
from speakerid.recognition.make_bundle import make_bundle
from speakerid.recognition.pseudo_strangers import shift


def test_a_factor_of_one_changes_nothing() -> None:
    assert np.allclose(shift(FeatureConfig(), 1.0), np.eye(40), atol=1e-5)


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_a_resonance_moves_by_the_factor(factor: float) -> None:
    """Oracle: the log-mels of noise with a resonance at another frequency."""
    seconds = np.arange(32_000) / 16_000
    rng = np.random.default_rng(0)

    def resonance(hertz: float) -> int:
        noise = rng.normal(size=len(seconds)).astype(np.float32)
        kernel = np.exp(-300 * seconds[:800]) * np.sin(2 * np.pi * hertz * seconds[:800])
        frames = LogMel(FeatureConfig())(np.convolve(noise, kernel, "same").astype(np.float32), 16_000)
        shifted = frames @ shift(FeatureConfig(), factor) if hertz == 1500 else frames
        return int(shifted.mean(0).argmax())

    assert abs(resonance(1500) - resonance(1500.0001 / factor)) <= 1


def test_few_speakers_without_strangers_are_held_against_shifted_ones(trained: Trained, tmp_path: Path) -> None:
    corpus, runs = tmp_path / "corpus", tmp_path / "runs"
    few = tmp_path / "recordings"
    few.mkdir()
    for name in trained.bundle.profiles.names[:3]:
        (few / name).symlink_to(trained.recordings / name)
    prepare(few, corpus, Options(layout_out="packed", workers=0))
    config = Path(__file__).parents[2] / "configs" / "few_minutes.yaml"
    run([
        "train", "--config", str(config), "--quiet", f"data.root={corpus}", f"run_dir={runs}", "device=cpu",
        "model.d_model=16", "train.total_steps=10", "train.warmup_steps=2", "train.valid_steps=10",
    ])  # fmt: skip
    bundle = make_bundle(runs / "best.pt")
    assert "3 speakers with their voices shifted by 0.8 and 1.25" in str(bundle.card["fitted_on"])
    assert len(set(bundle.evidence[0].stranger_speakers.tolist())) == 6
    assert len(bundle.evidence[0].strangers) >= 50


def test_enough_speakers_are_left_out_in_turn(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "FEWEST", len(trained.bundle.profiles.names))
    bundle = make_bundle(trained.checkpoint, strangers=False)
    assert "known speakers, left out in turn" in str(bundle.card["fitted_on"])
    some, profiles = bundle.evidence[0], bundle.profiles
    assert len(some.strangers) == 0
    scores = profiles.scores(some.known)
    for row, (name, left) in enumerate(zip(some.speakers.tolist(), some.score_strangers(profiles), strict=True)):
        others = np.delete(scores[row], profiles.index(name))
        assert left[:-1].tolist() == sorted(others.tolist(), reverse=True)
    assert some.stranger_groups.tolist() == np.unique(some.speakers, return_inverse=True)[1].tolist()
    assert all(np.isfinite(bundle.identification.thresholds.log_odds).ravel())
