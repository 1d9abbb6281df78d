"""Evaluation of a bundle on a corpus counts what the recognizer answers for each utterance alone."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from experiments import answer, small_config, write_easy_corpus
from speakerid.base.errors import UserError
from speakerid.config import FeatureConfig
from speakerid.corpus.utterances import Corpus, Utterance, Utterances
from speakerid.evaluation import bundles as bundle_evaluation
from speakerid.evaluation import test_set as material
from speakerid.evaluation.bundles import evaluate_bundle
from speakerid.evaluation.report import write_page
from speakerid.evaluation.results import (
    ACCEPTED,
    CLLR,
    DIR,
    EER,
    IDENTIFIED,
    MACRO,
    MISSED,
    NAMED_STRANGERS,
    PROMISED_IDENTIFIED,
    PROMISED_STRANGERS,
    TOP_1,
    Estimate,
    Measure,
    Results,
    Table,
)
from speakerid.evaluation.scored_test_set import ScoredTestSet
from speakerid.evaluation.sufficiency import no_trials
from speakerid.preparation.write import write_corpus
from speakerid.recognition.bundle import Bundle
from speakerid.recognition.make_bundle import make_bundle
from speakerid.recognition.recognizer import Recognizer
from speakerid.recognition.results import Voice
from speakerid.training.run import train

SPEAKERS = ("anna", "ben", "cleo", "dora")
STRANGERS = ("xaver", "yvonne", "zoe")


def write_open_corpus(
    root: Path,
    answers: bool = True,
    seed: int = 0,
    strangers: tuple[str, ...] = STRANGERS,
    constant: bool = False,
    length: int | None = None,
) -> Path:
    """Write a packed corpus with sessions, and with strangers who are close to known speakers."""
    rng = np.random.default_rng(seed)
    voices = {name: 1.2 * np.random.default_rng(place).normal(size=8) for place, name in enumerate(SPEAKERS)}
    voices |= {name: voices[SPEAKERS[n]] + 0.8 * rng.normal(size=8) for n, name in enumerate(strangers)}
    frames: dict[str, NDArray[np.float32]] = {}

    def rows(part: str, names: tuple[str, ...], each: int, days: tuple[str, ...]) -> list[Utterance]:
        made = []
        for name in names:
            for take in range(each):
                path = f"uttr-{part}-{name}-{take}.pt"
                frames_here = length or int(rng.integers(30, 90))
                values = voices[name] + rng.normal(size=8) + rng.normal(size=(frames_here, 8))
                frames[path] = (np.full_like(values, -20.72) if constant else values).astype(np.float32)
                made.append(Utterance(path, frames_here, name, days[take * len(days) // each]))
        return made

    labelled = Utterances.of(rows("labelled", SPEAKERS, 8, ("monday", "tuesday")), SPEAKERS)
    test = Utterances.of(rows("test", SPEAKERS, 6, ("tuesday", "friday")), SPEAKERS)
    if not answers:
        test = replace(test, speakers=np.full_like(test.speakers, -1))
    others = Utterances.of(rows("strangers", strangers, 5, ("monday", "friday")))
    root.mkdir(parents=True)
    corpus = Corpus(root, FeatureConfig(n_mels=8), SPEAKERS, labelled, test, others)
    write_corpus(corpus, lambda utterance: frames[utterance.feature_path], "packed", "float32")
    return root


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_open_corpus(tmp_path_factory.mktemp("open") / "corpus")


@pytest.fixture(scope="module")
def path(corpus: Path) -> Path:
    run = train(small_config(corpus, corpus.parent / "run", total_steps=30)).run
    path = corpus.parent / "speaker.safetensors"
    make_bundle(run.best).save(path)
    return path


@pytest.fixture(scope="module")
def elsewhere(corpus: Path) -> Path:
    """Corpus of the same speakers in another session, and of strangers whom the bundle was not fitted on."""
    return write_open_corpus(corpus.parent / "elsewhere", seed=1, strangers=("uwe", "vera", "willy"))


@pytest.fixture(scope="module")
def results(path: Path, elsewhere: Path) -> Results:
    return evaluate_bundle(path, elsewhere, [0.3], as_norm=True, resamples=10)


def estimates(table: Table, row: str) -> dict[Measure, Estimate]:
    (found,) = (one for one in table.rows if one.name == row)
    return dict(found.estimates)


@pytest.mark.parametrize(("row", "seconds"), [("whole", None), ("0.3 s", 0.3)])
def test_what_is_counted_is_what_the_recogniser_answers(
    row: str, seconds: float | None, results: Results, path: Path, elsewhere: Path
) -> None:
    recognizer = Recognizer.load(path)
    test_set = material.TestSet.open(path, recognizer.bundle, elsewhere)
    scored_set = ScoredTestSet.of(recognizer.bundle, test_set, seconds)
    key = recognizer.bundle.encoder
    given = [
        recognizer.answer(Voice(s, p, key)) for s, p in zip(scored_set.seconds.tolist(), scored_set.prints, strict=True)
    ]
    names = [utterance.speaker for utterance in test_set.utterances]
    known = [name in SPEAKERS for name in names]
    right = [a.ranking[0][0] == name for a, name, k in zip(given, names, known, strict=True) if k]
    identified = [a.name == name for a, name, k in zip(given, names, known, strict=True) if k]
    named = [a.name is not None for a, k in zip(given, known, strict=True) if not k]
    assert (len(right), len(named)) == (24, 15)
    found = estimates(results.tables[0], row)
    assert found[TOP_1].value == pytest.approx(np.mean(right))
    assert found[MACRO].value == pytest.approx(np.mean(right))
    assert found[IDENTIFIED].value == pytest.approx(np.mean(identified))
    assert found[NAMED_STRANGERS].value == pytest.approx(np.mean(named))


def test_what_was_promised_stands_beside_what_is_kept(path: Path, elsewhere: Path) -> None:
    bundle = Bundle.load(path)
    table = evaluate_bundle(path, elsewhere, [0.3, *(row.seconds for row in bundle.expected)], resamples=5).tables[0]
    for row in bundle.expected:
        found = estimates(table, f"{row.seconds:g} s")
        assert found[PROMISED_IDENTIFIED].value == row.identified
        assert found[PROMISED_STRANGERS].value == row.false_accepts
        assert {IDENTIFIED, NAMED_STRANGERS} <= found.keys()
    for name in ("0.3 s", "whole"):
        assert PROMISED_IDENTIFIED not in estimates(table, name)


def test_pairs_are_judged_as_the_rule_does(results: Results, path: Path, elsewhere: Path) -> None:
    bundle = Bundle.load(path)
    test_set = material.TestSet.open(path, bundle, elsewhere)
    scored_set, rule = ScoredTestSet.of(bundle, test_set, None), bundle.verification
    assert rule is not None
    accepted = []
    pairs = test_set.pairs
    for a, b in zip(pairs.enrolment, pairs.test, strict=True):
        seconds = min(test_set.utterances[int(a)].length, test_set.utterances[int(b)].length) / 100
        score = bundle.profiles.plda.score_pairs(scored_set.prints[a], scored_set.prints[b])
        odds = rule.log_odds(np.array([[score]]), seconds)[0, 0]
        accepted.append(odds >= rule.thresholds.at(seconds, 0.01))
    found = estimates(results.tables[2], "whole")
    assert found[ACCEPTED].value == pytest.approx(np.mean(np.array(accepted)[~pairs.targets]))
    assert found[MISSED].value == pytest.approx(1 - np.mean(np.array(accepted)[pairs.targets]))
    assert found[CLLR].value >= 0


def test_voice_prints_are_the_embedder_s(path: Path, elsewhere: Path) -> None:
    bundle = Bundle.load(path)
    test_set = material.TestSet.open(path, bundle, elsewhere)
    scored_set = ScoredTestSet.of(bundle, test_set, 0.2)
    assert scored_set.seconds.tolist() == [0.2] * 39
    for row, (store, place) in {3: (0, 3), 30: (1, 6)}.items():
        frames = test_set.stores[store].utterance(place)
        start = (len(frames) - 20) // 2
        with torch.no_grad():
            alone = bundle.embedder()(frames[None, start : start + 20])[0].numpy()
        assert scored_set.prints[row] == pytest.approx(alone, abs=1e-5)


def test_rows_by_session(results: Results) -> None:
    sessions = results.tables[1]
    sizes = {row.name: row.size for row in sessions.rows}
    assert sizes == {
        "session trained on": "12", "another session": "12", "session friday": "12", "session tuesday": "12"
    }  # fmt: skip
    friday, other = (estimates(sessions, name) for name in ("session friday", "another session"))
    assert friday == other
    whole = estimates(results.tables[0], "whole")
    assert whole[TOP_1].value == pytest.approx(
        (friday[TOP_1].value + estimates(sessions, "session tuesday")[TOP_1].value) / 2
    )


def test_as_norm_leaves_out_whoever_is_claimed(results: Results, path: Path, elsewhere: Path) -> None:
    assert estimates(results.tables[0], "whole, AS-norm").keys() >= {TOP_1, EER, DIR}
    assert CLLR not in estimates(results.tables[2], "whole, AS-norm")
    bundle = Bundle.load(path)
    scored_set = ScoredTestSet.of(bundle, material.TestSet.open(path, bundle, elsewhere), None)
    normed = scored_set.normed.known[5, 2]  # an utterance of anna's against cleo
    sides = []
    centers = bundle.profiles.centers[2]
    for voices in (scored_set.prints[5:6], centers / np.linalg.norm(centers, axis=1, keepdims=True)):
        rest = np.delete(bundle.profiles.scores(voices).max(0), 2)
        sides.append((scored_set.scores[5, 2] - rest.mean()) / rest.std())
    assert normed == pytest.approx(np.mean(sides), rel=1e-4)


def test_strangers_that_the_thresholds_know_are_told(path: Path, corpus: Path, elsewhere: Path) -> None:
    own, other = (evaluate_bundle(path, where, [], resamples=3) for where in (corpus, elsewhere))
    assert "fitted on 15 of these 15 utterances of strangers" in own.facts[1]
    assert len(other.facts) == 1
    assert "24 utterances of 4 of the 4 speakers that the bundle knows, and 15 of 3 strangers" in other.facts[0]


def test_who_is_not_enrolled_is_a_stranger(path: Path, elsewhere: Path, tmp_path: Path) -> None:
    Bundle.load(path).forgotten("dora").save(tmp_path / "fewer")
    found = evaluate_bundle(tmp_path / "fewer", elsewhere, [], resamples=3)
    assert "18 utterances of 3 of the 3 speakers that the bundle knows, and 21 of 4 strangers" in found.facts[0]
    assert found.embeddings is not None
    assert (found.embeddings.labels < 0).sum() == 21


TRIALS = """1 uttr-test-anna-0.pt uttr-test-anna-5
uttr-strangers-uwe-0 uttr-strangers-uwe-1.pt target
0 uttr-test-anna-0.pt uttr-strangers-uwe-1.pt
uttr-test-ben-0 uttr-test-anna-1 nontarget
"""


def test_a_list_of_trials(path: Path, elsewhere: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(TRIALS)
    found = evaluate_bundle(path, elsewhere, [], tmp_path / "list.txt", as_norm=True, resamples=3)
    rows = {row.name: row.size for row in found.tables[-1].rows}
    assert list(rows) == ["whole", "list.txt", "whole, AS-norm", "list.txt, AS-norm"]
    assert rows["list.txt"] == "2 + 2"
    assert "list.txt" in found.det


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "1 uttr-test-anna-0.pt nobody",
            r"list.txt: 1 of 7 names are not in .*: 'nobody'; expected test utterances .* 'uttr-test-anna-0.pt'",
        ),
        ("1 uttr-test-anna-0.pt uttr-test-ben-0.pt", r"found a target trial, but .* has two speakers for them"),
        ("0 uttr-test-anna-0.pt uttr-test-anna-1.pt", r"found a non-target trial, but .* has one speaker for them"),
    ],
)
def test_lists_that_do_not_belong_here(line: str, message: str, path: Path, elsewhere: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(TRIALS + line)
    with pytest.raises(UserError, match=message):
        evaluate_bundle(path, elsewhere, [], tmp_path / "list.txt", resamples=3)


UNLABELED = "uttr-test-anna-0 uttr-test-anna-5\nuttr-test-anna-0 uttr-test-ben-0\n"


def test_a_list_without_labels_takes_them_from_the_corpus(path: Path, elsewhere: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(UNLABELED)
    found = evaluate_bundle(path, elsewhere, [], tmp_path / "list.txt", resamples=3)
    assert {row.name: row.size for row in found.tables[-1].rows}["list.txt"] == "1 + 1"
    (tmp_path / "list.txt").write_text(UNLABELED.splitlines()[0])
    with pytest.raises(UserError, match="found 1 target and 0 non-target trials"):
        evaluate_bundle(path, elsewhere, [], tmp_path / "list.txt", resamples=3)


def test_corpora_that_do_not_belong_here(path: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no answers\.csv"):
        evaluate_bundle(path, write_open_corpus(tmp_path / "mute", answers=False), [])
    others = write_easy_corpus(tmp_path / "others", speakers=("paul", "mary"))
    with pytest.raises(UserError, match=r"no test utterance is of a speaker that .*; found 'paul' .*expected 'anna'"):
        evaluate_bundle(path, others, [])
    with pytest.raises(UserError, match=r"n_mels"):
        evaluate_bundle(path, write_easy_corpus(tmp_path / "bands", n_mels=5), [])


def test_without_strangers_and_with_few(path: Path, tmp_path: Path) -> None:
    corpus = write_easy_corpus(tmp_path / "corpus", tests=4)
    found = evaluate_bundle(path, corpus, [], resamples=3)
    assert "Without strangers" in found.facts[1]
    assert not {DIR, NAMED_STRANGERS} & found.tables[0].rows[0].estimates.keys()
    single = write_easy_corpus(tmp_path / "single", tests=3)
    found = evaluate_bundle(path, single, [], resamples=3)
    assert found.facts[2] == "Trials of two utterances: " + str(no_trials(np.zeros(0, bool))) + "."
    assert [table.title for table in found.tables] == ["Who is it?"]


def test_utterances_that_are_all_the_same(path: Path, tmp_path: Path) -> None:
    root = write_open_corpus(tmp_path / "corpus", seed=1, constant=True, length=40)
    found = evaluate_bundle(path, root, [0.2], as_norm=True, resamples=3)
    assert found.embeddings is None
    assert "Map of embeddings: not measured: all embeddings are the same." in found.facts
    measured = estimates(found.tables[0], "whole")
    assert (measured[TOP_1].value, measured[EER].value) == (0.25, 0.5)
    assert write_page(found, tmp_path / "page").exists()
    json.dumps(found.as_json(), allow_nan=False)


def test_scores_that_are_not_finite(path: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prints = material.TestSet.embed

    def broken(*arguments: object) -> NDArray[np.float32]:
        found = prints(*arguments)  # type: ignore[arg-type]
        found[2] = np.nan
        return found

    monkeypatch.setattr(material.TestSet, "embed", broken)
    with pytest.raises(UserError, match=r"not finite for 1 of 39 utterances of .*, first uttr-test-anna-2.pt; check"):
        evaluate_bundle(path, elsewhere, [], resamples=3)


def test_too_small_a_cohort(path: Path, elsewhere: Path, tmp_path: Path) -> None:
    Bundle.load(path).forgotten("dora").forgotten("cleo").save(tmp_path / "two")
    with pytest.raises(UserError, match=r"--as-norm: found 2 speakers in the bundle, expected at least 3"):
        evaluate_bundle(tmp_path / "two", elsewhere, [], as_norm=True)


def test_the_command(
    path: Path, elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bundle_evaluation, "evaluate_bundle", partial(evaluate_bundle, resamples=3))
    assert answer(monkeypatch, "evaluate", path, elsewhere, "--seconds", "0.3", "--out", tmp_path / "page") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("24 utterances")
    assert "Who is it?" in printed
    assert printed.splitlines()[-1] == str(tmp_path / "page" / "report.html")
    assert (tmp_path / "page" / "embeddings.png").exists()
    assert answer(monkeypatch, "evaluate", path, elsewhere, "--seconds", "0.3", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in found["tables"][0]["rows"]] == ["0.3 s", "whole"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "found neither a bundle nor --checkpoint"),
        (["a", "b", "--checkpoint", "c"], "found a bundle, a, and --checkpoint"),
        (["a"], "found a without a corpus"),
        (["a", "b", "--device", "cpu"], "--device: only for evaluate with --checkpoint"),
        (["a", "b", "--part", "test"], "--part: only for evaluate with --checkpoint"),
        (["--checkpoint", "c", "--as-norm"], "--as-norm: only for evaluate with a bundle"),
        (["--checkpoint", "c", "--out", "d"], "--out: only for evaluate with a bundle"),
        (["nowhere", "b"], "nowhere: cannot be read"),
    ],
)
def test_forms_of_the_command(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert answer(monkeypatch, "evaluate", *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
