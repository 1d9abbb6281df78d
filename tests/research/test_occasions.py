"""Tests on simulated occasions: training, test speakers and strangers; runs, and their tables."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from experiments import answer_of_script
from simulated.designs import DESIGNS, Design, build, placed
from simulated.runs import DURATIONS, Answers, Job, OpenedTest, run
from simulated.tables import Pooled, Spoken, accuracy, identified, sections, strangers_named
from speakerid.base.errors import UserError
from speakerid.demo.corpus import write_demo_corpus
from speakerid.preparation import recordings_table
from speakerid.preparation.sources.recordings import Recording

pytest.importorskip("av", reason="needs PyAV, of the extra `av`")

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "research" / "occasions.py"
TINY = Design(8, 2, 2, 1, known=3)
FEW_STEPS = (
    "data.folds=0", "train.total_steps=4", "train.warmup_steps=0", "train.valid_steps=4", "train.save_steps=4",
    "train.log_steps=4", "train.batch_size=4", "train.crop_frames=16", "model.d_model=16",
    "model.encoder.dim_feedforward=16",
)  # fmt: skip


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve recordings of each of five voices."""
    folder = tmp_path_factory.mktemp("voices")
    write_demo_corpus(folder / "demo", 5, 1, workers=0, wav=folder / "recordings")
    return folder / "recordings"


@pytest.fixture(scope="module")
def out(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DESIGNS, "known", TINY)
        patch.setitem(DESIGNS, "clean", Design(4, 0, 2, 2))
        build("known", 0, recordings, None, folder, 0)
    return folder


def of(speaker: str, count: int) -> list[Recording]:
    return [Recording(Path(f"{speaker}/{n}.wav"), f"{speaker}/{n}", speaker, None) for n in range(count)]


def sessions(recordings: list[Recording], speaker: str) -> Counter[str | None]:
    return Counter(one.session for one in recordings if one.speaker == speaker)


def test_a_speaker_trains_on_other_occasions_than_those_of_the_test() -> None:
    found = list(placed(DESIGNS["meetings"], [*of("anna", 60), *of("ben", 12)], of("cleo", 30), seed=0))
    assert sessions(found, "anna") == {"training 1": 6, "training 2": 6, "training 3": 6, "test 1": 6}
    assert sessions(found, "ben") == {"training 1": 3, "training 2": 3, "training 3": 3, "test 1": 3}
    assert sessions(found, "cleo (more)") == {"stranger 1": 10}
    order = [int(one.name.split("/")[1]) for one in found if one.speaker == "anna"]
    assert order == sorted(order)


def test_the_seed_draws_who_is_known() -> None:
    everybody = [one for speaker in "abcdefgh" for one in of(speaker, 10)]

    def known(seed: int) -> set[str]:
        found = placed(Design(5, 1, 5, 1, known=4), everybody, [], seed)
        return {one.speaker for one in found if str(one.session).startswith("training")}

    assert len(known(0)) == 4
    assert known(0) == known(0) != known(1)
    with pytest.raises(UserError, match="found 1 speakers, expected at least two"):
        list(placed(DESIGNS["meetings"], of("anna", 4), [], 0))


def test_the_corpora_hold_who_they_should_and_the_recordings_can_be_heard(out: Path) -> None:
    test = OpenedTest.open(out / "corpora" / "known-0")
    assert len(test.corpus.speakers) == 3
    assert Counter(one.session for one in test.corpus.labelled) == {"training 1": 12, "training 2": 12}
    assert {one.session for one in test.corpus.test} == {"test 1"}
    assert {one.speaker for one in test.corpus.strangers}.isdisjoint(test.corpus.speakers)
    assert len({one.speaker for one in test.corpus.strangers}) == 2
    training = OpenedTest.open(out / "corpora" / "known-0").corpus.labelled.names
    table = recordings_table.read(out / "corpora" / "known-0" / "everything")
    for name in (*training, *test.corpus.test.names, *test.corpus.strangers.names):
        assert table[name].path.parent == out / "recordings"


def test_training_recordings_stay_as_they_are_without_occasions(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DESIGNS, "clean", Design(2, 0, 1, 1))
    folder = build("clean", 0, recordings, None, tmp_path, 0)
    test = OpenedTest.open(folder)
    table = recordings_table.read(folder / "everything")
    assert {table[name].path.suffix for name in test.corpus.labelled.names} == {".wav"}
    assert {table[name].path.suffix for name in test.corpus.test.names} == {".flac"}


@pytest.mark.nightly
def test_our_model_answers_with_and_without_a_bundle_and_is_trained_once(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job("known", 0, "few_minutes", FEW_STEPS)
    answers = run(job, out)
    assert [(one.title, one.duration) for one in answers] == [
        (f"few_minutes, {row}", duration) for row in ("classifier", "bundle") for duration in DURATIONS
    ]
    test = OpenedTest.open(out / "corpora" / "known-0")
    for one in answers:
        assert len(one.right) == len(one.known) == len(test.corpus.test)
        assert len(one.strangers) == len(test.corpus.strangers)
    bundle = answers[-1]
    assert len(bundle.named) == len(test.corpus.test)
    assert bundle.promised is not None
    monkeypatch.setattr("simulated.runs.train", lambda *_: pytest.fail("trained again"))
    assert run(job, out) == answers
    assert not list(job.folder(out).rglob("*.pt"))


def test_models_of_others_are_asked_for_the_nearest_centroid(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("comparison.budgets.steps_within", lambda *_: 2)
    titles = {one.title for one in run(Job("known", 0, "course", seconds=1), out)}
    assert titles == {"course sample, classifier", "course sample, nearest centroid"}


def test_other_settings_are_another_run(out: Path) -> None:
    drawn = ((), ("train.batch_size=8",), ("train.batch_size=4",))
    assert len({Job("known", 0, "few_minutes", settings).folder(out) for settings in drawn}) == 3
    assert len({Job("known", 0, "ecapa", settings, 60).folder(out) for settings in drawn}) == 1
    assert len({Job("known", 0, "ecapa", seconds=seconds).folder(out) for seconds in (60, 90)}) == 2
    assert len({Job("known", 0, "few_minutes", seconds=seconds).folder(out) for seconds in (60, 90)}) == 1


@pytest.mark.nightly
def test_the_script_prints_a_table_of_everybody(
    recordings: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--designs", "known", "--models", "linear", "few_minutes", "--seeds", 0, "--workers", 1)
    assert answer_of_script(monkeypatch, SCRIPT, recordings, out, *arguments, "--settings", *FEW_STEPS) == 0
    text = capsys.readouterr().out
    assert "3 speakers, 24 recordings to train on" in text
    rows = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")]
    everybody = ["model", "linear baseline", "few_minutes, classifier", "few_minutes, bundle"]
    assert rows == [*everybody, *everybody, "model", "few_minutes, bundle", "", ""]


def answers(right: list[bool], known: list[float], strangers: list[float], title: str = "ours") -> Answers:
    named = [score > 0.5 for score in known]
    return Answers(title, "1 s", right, known, strangers, named, [score > 0.5 for score in strangers], 0.5)


def test_every_speaker_and_every_seed_counts_the_same() -> None:
    spoken = [Spoken(["a", "a", "a", "b"], ["x", "x", "y"]), Spoken(["a", "c", "c", "c"], ["x"])]
    pooled = Pooled.of(
        [
            answers([True, False, False, True], [0.9, 0.8, 0.1, 0.4], [0.6, 0.1, 0.2]),
            answers([True, False, True, True], [0.9, 0.2, 0.3, 0.8], [0.7]),
        ],
        spoken,
    )
    ones = np.ones(8), np.ones(4)
    assert accuracy(pooled, *ones) == pytest.approx((2 / 4 + 1 + 2 / 3) / 3)
    assert strangers_named(pooled, *ones) == pytest.approx((2 / 3 + 0) / 2)
    # Above the strangers of each seed: one of a's three and none of b's; a's one and one of c's three.
    first, second = (1 / 4) / (3 / 4 + 1), (1 / 4 + 1 / 3) / (1 / 4 + 1)
    assert identified(pooled, *ones) == pytest.approx((first + second) / 2)


def test_a_table_has_promises_of_those_who_make_them() -> None:
    spoken = [Spoken(["a", "b"], [])]
    lines = [
        Answers(title, duration, [True, True], [0.9, 0.9], [], [True, False] if title == "ours" else [], [], 0.75)
        for title in ("ours", "theirs")
        for duration in DURATIONS
    ]
    closed, own = sections([lines], spoken)
    assert "| theirs | 100.0 (100.0 to 100.0) |" in closed
    assert "theirs" not in own
    assert "| ours | expected | 75.0 | 75.0 | 75.0 | 75.0 |" in own
    assert "|  | measured | 50.0 (0.0 to 100.0) |" in own
