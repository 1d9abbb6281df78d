"""Thresholds come from models that were not trained on the utterances they are fitted on."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recognition.bundles import Trained
from speakerid.base.errors import UserError
from speakerid.cli import run
from speakerid.corpus.check import open_corpus
from speakerid.corpus.utterances import UNKNOWN, Utterance, Utterances
from speakerid.recognition.bundle import Bundle
from speakerid.recognition.held_out import (
    CORRECTED,
    HeldOutEmbedder,
    corrections,
    one_session_alone,
)
from speakerid.recognition.make_bundle import make_bundle
from speakerid.training.checkpoint import Checkpoint
from speakerid.training.cross_validation import RunSplit


@pytest.fixture(scope="module", params=[2, pytest.param(3, marks=pytest.mark.nightly)])
def folded(trained: Trained, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """Run with folds on the corpus of the small bundle; each fold leaves out a third of the speakers."""
    run_dir = tmp_path_factory.mktemp("folded") / "run"
    config = Path(__file__).parents[2] / "configs" / "few_minutes.yaml"
    run([
        "train", "--config", str(config), "--quiet", f"data.root={trained.corpus}", f"run_dir={run_dir}", "device=cpu",
        f"data.folds={request.param}", "model.d_model=16", "model.encoder.dim_feedforward=32", "train.total_steps=60",
        "train.warmup_steps=5", "train.valid_steps=60", "train.save_steps=60", "train.log_steps=60",
    ])  # fmt: skip
    return run_dir


@pytest.fixture(scope="module")
def bundle(folded: Path) -> Bundle:
    return make_bundle(folded / "best.pt")


def test_every_recording_makes_profiles_and_is_judged_once(trained: Trained, folded: Path, bundle: Bundle) -> None:
    labelled = open_corpus(trained.corpus, "labelled")[0].labelled
    config = Checkpoint.load(folded / "best.pt").config
    fold_of, judged = RunSplit.of(config, labelled).held_out_by, len(bundle.evidence[0].known)
    assert len(labelled) / 2 < judged < len(labelled)  # in one fold a speaker was a stranger
    assert judged == (fold_of != UNKNOWN).sum()
    assert bundle.card["fitted_on"].startswith(
        f"{judged} utterances by models of {config.data.folds} folds that were not trained on their sessions, and "
    )
    assert sum(bundle.profiles.clips) == len(labelled)
    for speaker in range(6):
        for session in np.unique(labelled.sessions[labelled.speakers == speaker]):
            assert len(set(fold_of[labelled.sessions == session].tolist())) == 1


def test_the_strangers_are_the_speakers_themselves_to_models_that_do_not_know_them(
    trained: Trained, folded: Path, tmp_path: Path
) -> None:
    bundle = make_bundle(folded / "best.pt", strangers=False)
    (evidence,) = (row for row in bundle.evidence if row.seconds == 1)
    all_of_them = Checkpoint.load(folded / "best.pt").config.data.folds == 3
    assert len(set(evidence.stranger_names.tolist())) == (6 if all_of_them else 4)
    scores = bundle.profiles.scores(evidence.strangers)
    own = np.array([bundle.profiles.names.index(name) for name in evidence.stranger_names.tolist()])
    scores[np.arange(len(own)), own] = -np.inf  # no one is a stranger to their own profile
    assert np.array_equal(evidence.score_strangers(bundle.profiles)[:, 0], scores.max(1))
    bundle.save(tmp_path / "bundle")
    loaded = Bundle.load(tmp_path / "bundle")
    assert all(
        np.array_equal(a.stranger_names, b.stranger_names) and np.array_equal(a.strangers, b.strangers)
        for a, b in zip(loaded.evidence, bundle.evidence, strict=True)
    )
    name = loaded.profiles.names[0]
    for found in (loaded.forgotten(name), loaded.renamed(name, "Zoe")):
        for before, after in zip(loaded.evidence, found.evidence, strict=True):
            assert name not in after.stranger_names
            assert len(after.strangers) == len(after.stranger_names) == len(after.stranger_speakers)
            gone = 0 if "Zoe" in found.profiles.names else (before.stranger_names == name).sum()
            assert len(after.strangers) == len(before.strangers) - gone


def test_utterances_lie_farther_from_their_speakers_than_a_model_that_knows_them_says(
    trained: Trained, folded: Path, bundle: Bundle
) -> None:
    _, store = open_corpus(trained.corpus, "labelled")
    labelled = open_corpus(trained.corpus, "labelled")[0].labelled
    by_heart = bundle.profiles.scores(bundle.embedder().embed(store, range(len(labelled)), 100))
    right = by_heart[np.arange(len(labelled)), labelled.speakers]
    (one_second,) = (row for row in bundle.evidence if row.seconds == 1)
    assert one_second.score_known(bundle.profiles).right.mean() < right.mean()


def test_corrections_are_kept_in_the_file_and_go_with_their_speaker(bundle: Bundle, tmp_path: Path) -> None:
    bundle.save(tmp_path / "bundle")
    for before, after in zip(bundle.evidence, Bundle.load(tmp_path / "bundle").evidence, strict=True):
        assert before.corrections.shape == (len(before.known), 2)
        assert np.array_equal(before.corrections, after.corrections)
        name = before.speakers[0]
        assert np.array_equal(before.without(name).corrections, before.corrections[before.speakers != name])


def test_scores_are_corrected_toward_those_of_the_folds(bundle: Bundle) -> None:
    some = bundle.evidence[1]
    speakers = [bundle.profiles.names.index(name) for name in some.speakers.tolist()]
    rows = np.arange(len(speakers))
    scores = bundle.profiles.scores(some.known)
    own = scores[rows, speakers]
    scores[rows, speakers] = -np.inf
    fold_scores = np.stack([own - 2, scores.max(1) + 1], 1)
    fold_scores[0] = -np.inf  # of a fold with a single speaker
    found = corrections(bundle.profiles, some.known, speakers, fold_scores)
    assert found[0].tolist() == [0, 0]
    assert (found[1:, 0] < 0).all()
    assert (found[1:, 0] > -2).all()
    np.testing.assert_allclose(found[1:], np.tile([-2 * CORRECTED, CORRECTED], (len(rows) - 1, 1)), atol=1e-5)
    corrected = replace(some, corrections=found).score_known(bundle.profiles)
    np.testing.assert_allclose(corrected.right, own + found[:, 0], atol=1e-5)
    np.testing.assert_allclose(
        corrected.ranked.max(1), np.maximum(own + found[:, 0], scores.max(1) + found[:, 1]), atol=1e-5
    )


def test_a_bundle_promises_less_where_its_folds_find_less(folded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = make_bundle(folded / "best.pt")
    scores = HeldOutEmbedder.fold_scores
    monkeypatch.setattr(
        HeldOutEmbedder, "fold_scores", lambda *arguments: scores(*arguments) - np.array([5, 0], np.float32)
    )
    after = make_bundle(folded / "best.pt")
    for one, other in zip(before.evidence, after.evidence, strict=True):
        difference = other.score_known(after.profiles).right - one.score_known(before.profiles).right
        np.testing.assert_allclose(difference, -5 * CORRECTED, atol=1e-4)


def test_a_bundle_is_a_function_of_its_run(folded: Path, bundle: Bundle) -> None:
    again = make_bundle(folded / "best.pt")
    assert all(np.array_equal(a.known, b.known) for a, b in zip(again.evidence, bundle.evidence, strict=True))
    assert np.array_equal(again.profiles.centers, bundle.profiles.centers)


def test_folds_that_are_missing_or_of_other_utterances_are_refused(folded: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    shutil.copytree(folded, run_dir)
    shutil.copy(run_dir / "folds/2/best.pt", run_dir / "folds/1/best.pt")
    with pytest.raises(UserError, match=r"1/best\.pt: was trained on utterances that its fold holds out"):
        make_bundle(run_dir / "best.pt")
    shutil.rmtree(run_dir / "folds")
    with pytest.raises(UserError, match=r"folds/1/best\.pt: missing; .*keep folds/ beside best\.pt, or train again"):
        make_bundle(run_dir / "best.pt")


def test_who_has_one_session_alone() -> None:
    rows = [("a", "1"), ("a", "2"), ("b", "1"), ("b", "1"), ("c", None), ("a", "1")]
    found = one_session_alone(Utterances.of(Utterance(f"{n}.pt", 9, *row) for n, row in enumerate(rows)))
    assert found.tolist() == [False, False, True, True, True, False]


def test_without_folds_nothing_is_held_out_by_one(trained: Trained) -> None:
    assert not any(len(some.corrections) for some in trained.bundle.evidence)
    labelled = open_corpus(trained.corpus, "labelled")[0].labelled
    split = RunSplit.of(Checkpoint.load(trained.checkpoint).config, labelled)
    assert set(split.held_out_by.tolist()) == {UNKNOWN}
