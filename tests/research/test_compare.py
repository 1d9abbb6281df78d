"""The comparison: its corpora, budgets, runs and tables; other packages' models if they are installed."""

import importlib.util
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from scipy.stats import binom

from comparison import budgets, models, runs
from comparison.corpora import CORPORA, PARTS, SPEEDS, CorpusSpec, build, placed, root_of
from comparison.equalize import equalizer
from comparison.models import BY_DEFAULT, CONTESTANTS, Trained, available, config_of
from comparison.plan import Plan, carry_out, sections
from comparison.pretrained import Embedder, logistic_regression, nearest_centroid
from comparison.runs import Data, Job, run
from comparison.tables import bootstrap_interval, correctness, macro, overview, table
from corpora import write_recording
from experiments import at_step, interrupt
from oracles import import_torchaudio
from speakerid.audio.decode import decode
from speakerid.audio.log_mel import LogMel
from speakerid.base.errors import UserError
from speakerid.config import FeatureConfig
from speakerid.corpus.check import open_corpus
from speakerid.corpus.store import FrameStore
from speakerid.corpus.utterances import Utterance
from speakerid.nn.summary import unique_parameters
from speakerid.preparation import recordings_table
from speakerid.preparation.sources.recordings import Recording
from speakerid.training.predict import predict

SPEAKERS = ("anna", "ben", "cleo")
COURSE = CONTESTANTS["course"]
assert isinstance(COURSE, Trained)
TINY = CorpusSpec("tiny", "recordings", seconds=1, steps=2)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten recordings of each speaker."""
    folder = tmp_path_factory.mktemp("recordings")
    for speaker in SPEAKERS:
        for number in range(10):
            write_recording(folder / speaker / f"{number}.wav", 0.4 + 0.02 * number)
    return folder


@pytest.fixture(scope="module")
def out(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the corpus `tiny`."""
    folder = tmp_path_factory.mktemp("out")
    build([TINY], recordings, folder, workers=0)
    return folder


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """The corpus, and a model whose steps take a moment."""
    monkeypatch.setitem(CORPORA, "tiny", TINY)
    smaller = "train.batch_size=4", "train.crop_frames=16"
    monkeypatch.setitem(CONTESTANTS, "course", replace(COURSE, overrides=smaller))


def of(speaker: str, count: int, sessions: int = 0) -> Iterator[Recording]:
    for place in range(count):
        session = f"day {place * sessions // count}" if sessions else None
        yield Recording(Path(f"{speaker}/{place}.wav"), f"{speaker}/{place}", speaker, session)


def parts(recordings: Iterator[Recording]) -> dict[str, list[str]]:
    return {
        part: [recording.name for recording in recordings if recording.session == part]
        for recordings in [list(recordings)]
        for part in PARTS
    }


def test_a_speaker_s_last_recordings_test_and_those_before_validate() -> None:
    found = parts(placed([*of("anna", 10), *of("ben", 20)], TINY))
    assert found[PARTS[2]] == [f"anna/{n}" for n in range(7, 10)] + [f"ben/{n}" for n in range(14, 20)]
    assert found[PARTS[1]] == ["anna/6", "ben/12", "ben/13"]
    assert found[PARTS[0]] == [f"anna/{n}" for n in range(6)] + [f"ben/{n}" for n in range(12)]


def test_fewer_training_recordings_are_the_first_of_each_speaker_and_leave_the_other_parts() -> None:
    everything, few = (
        parts(placed([*of("anna", 10), *of("ben", 20)], CorpusSpec("", "recordings", 1, 1, utterances=n)))
        for n in (None, 5)
    )
    assert few[PARTS[0]] == [f"{name}/{n}" for name in ("anna", "ben") for n in range(5)]
    assert [few[part] for part in PARTS[1:]] == [everything[part] for part in PARTS[1:]]


def test_of_demonstration_voices_one_whole_session_validates_and_one_tests() -> None:
    found = parts(placed(of("anna", 48, sessions=12), CorpusSpec("", "demo", 1, 1, speakers=1)))
    assert [len(found[part]) for part in PARTS] == [40, 4, 4]
    assert found[PARTS[1]] == [f"anna/{n}" for n in range(40, 44)]
    few = parts(placed(of("anna", 48, sessions=12), CorpusSpec("", "demo", 1, 1, validation=1, speakers=1)))
    assert few == {**found, PARTS[1]: ["anna/40"]}


def test_a_corpus_keeps_its_parts_and_knows_where_an_utterance_was_heard(out: Path) -> None:
    data = Data.open(TINY, out)
    assert [len(data.training), len(data.validation), len(data.test)] == [18, 3, 9]
    assert data.corpus.speakers == SPEAKERS
    recordings = recordings_table.read(root_of(TINY, out))
    heard = {part: set[str]() for part in ("training", "validation", "test")}
    for part, utterances, store, rows in (
        ("training", data.corpus.labelled, data.labelled, data.training),
        ("validation", data.corpus.labelled, data.labelled, data.validation),
        ("test", data.corpus.test, data.test, range(9)),
    ):
        for row in rows:
            recording = recordings[utterances[row].feature_path]
            sound = decode(recording.path, recording.start, recording.end)
            expected = LogMel(FeatureConfig())(sound.waveform, sound.sample_rate)
            torch.testing.assert_close(store.utterance(row), torch.from_numpy(expected), rtol=1e-3, atol=0.01)
            assert recording.path.parent.name == recording.speaker == utterances[row].speaker
            heard[part].add(recording.path.stem)
    assert heard == {"training": set("012345"), "validation": {"6"}, "test": set("789")}


def test_an_equalized_corpus_says_nothing_of_the_channel(recordings: Path, tmp_path: Path) -> None:
    spec = CorpusSpec("equalized", "recordings", 1, 1, equalize=True, utterances=5)
    build([spec], recordings, tmp_path, workers=0)
    (corpus, labelled), (_, test) = (open_corpus(root_of(spec, tmp_path), part) for part in ("labelled", "test"))
    for speaker in range(3):
        frames = [labelled.utterance(int(row)) for row in np.flatnonzero(corpus.labelled.speakers == speaker)]
        frames += [test.utterance(int(row)) for row in np.flatnonzero(corpus.test.speakers == speaker)]
        torch.testing.assert_close(torch.cat(frames).mean(0), torch.zeros(40), rtol=0, atol=1e-3)
        torch.testing.assert_close(torch.cat(frames).std(0), torch.ones(40), rtol=0, atol=1e-3)
    assert len(recordings_table.read(root_of(spec, tmp_path))) == len(labelled) + len(test)


def test_a_constant_band_can_be_equalized() -> None:
    utterances = [Utterance(name, 5, name[0]) for name in ("a1", "a2", "b1")]
    equalized = equalizer(utterances, lambda _: np.ones((5, 2), np.float32))
    assert all((equalized(utterance) == 0).all() for utterance in utterances)


def test_every_speaker_at_every_speed_is_a_speaker(tmp_path: Path) -> None:
    for speaker in SPEAKERS[:2]:
        for number in range(4):
            write_recording(tmp_path / "recordings" / speaker / f"{number}.wav", 0.5)
    spec = CorpusSpec("speeds", "speeds", 1, 1)
    build([spec], tmp_path / "recordings", tmp_path, workers=0)
    data = Data.open(spec, tmp_path)
    assert len(data.corpus.speakers) == 2 * len(SPEEDS)
    recordings = recordings_table.read(root_of(spec, tmp_path))
    for utterance in data.corpus.test:
        path = recordings[utterance.feature_path].path
        assert path.stem in ("000003", "000007"), "another sentence is heard in training at another speed"
        speed = float(path.parent.name.rpartition(" ")[2])
        assert soundfile.info(path).duration == pytest.approx(0.5 / speed, abs=1e-3)


def test_demonstration_voices_are_those_that_were_asked_for(tmp_path: Path) -> None:
    specs = [CorpusSpec(f"demo-{n}", "demo", 1, 1, speakers=n) for n in (2, 3)]
    build(specs, tmp_path / "none", tmp_path, workers=0)
    for spec in specs:
        data = Data.open(spec, tmp_path)
        assert data.corpus.speakers == tuple(f"demo000{n}" for n in range(spec.speakers))
        assert len(data.training) == 10 * len(data.validation) == 10 * len(data.test) == 40 * spec.speakers
    assert [path.name for path in (tmp_path / "sources").iterdir()] == ["demo-3"]


def test_a_budget_of_seconds_is_as_many_steps_as_fit(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(10**6))
    monkeypatch.setattr(budgets, "process_time", lambda: 0.25 * next(ticks))
    contestant = CONTESTANTS["course"]
    assert isinstance(contestant, Trained)
    config = config_of(contestant, root_of(TINY, out), out / "timed", 0, budgets.MANY)
    assert budgets.steps_within(30, config, contestant.make_model) == 120
    assert budgets.steps_within(0.1, config, contestant.make_model) == budgets.FEWEST_STEPS
    assert not (out / "timed").exists()


@pytest.mark.parametrize("name", [name for name, one in CONTESTANTS.items() if isinstance(one, Trained)])
def test_contestants_have_configs(name: str, tmp_path: Path) -> None:
    contestant = CONTESTANTS[name]
    assert isinstance(contestant, Trained)
    config = config_of(contestant, tmp_path, tmp_path / "run", 3, 100)
    assert (config.seed, config.train.total_steps, config.train.warmup_steps) == (3, 100, 10)
    assert config.data.root == tmp_path


def test_a_run_is_done_once(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job("tiny", "course", "steps", 2, 0)
    (record,) = run(job, out)
    assert not list(job.folder(out).rglob("*.pt"))
    (job.folder(out) / "best.pt").touch()  # left by a run that was killed behind its result
    monkeypatch.setattr(runs, "train", lambda *_: pytest.fail("trained again"))
    assert run(job, out) == [record]
    assert not list(job.folder(out).rglob("*.pt"))
    assert record["steps"] == 2
    assert record["seconds"] > 0
    assert record["rate"] > 0
    assert len(correctness(record["correct"]["whole"], 9)) == 9


def test_an_interrupted_run_goes_on(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (expected,) = run(Job("tiny", "course", "steps", 6, 1), out)
    job = Job("tiny", "course", "seconds", 60, 1)
    monkeypatch.setattr(budgets, "steps_within", lambda *_: 6)
    with monkeypatch.context() as patch:
        at_step(patch, 3, interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(job, out)
    monkeypatch.setattr(budgets, "steps_within", lambda *_: pytest.fail("timed again"))
    (found,) = run(job, out)
    assert {name: found[name] for name in ("steps", "valid", "correct")} == {
        name: expected[name] for name in ("steps", "valid", "correct")
    }


def test_a_run_that_fails_is_told_and_tried_again(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job("tiny", "course", "steps", 2, 7)

    def diverge(*_: object) -> None:
        raise UserError("diverged")

    with monkeypatch.context() as patch:
        patch.setattr(runs, "train", diverge)
        (record,) = run(job, out)
    assert record["failed"] == "diverged"
    assert "failed" not in run(job, out)[0]


def test_models_take_turns() -> None:
    plan = Plan(["tiny"], ["task1", "linear", "course"], [0, 1], ["seconds"], seconds=1)
    turns = [(job.model, job.seed) for job in plan.jobs()]
    assert turns == [("task1", 0), ("linear", None), ("course", 0), ("task1", 1), ("course", 1)]


def test_a_comparison_has_a_row_for_everyone_in_both_tables(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgets, "steps_within", lambda *_: 2)
    plan = Plan(["tiny"], ["linear", "course"], [0, 1], ["steps", "seconds"], seconds=0.01, steps=2)
    assert len(plan.jobs()) == 5
    records = carry_out(plan.jobs(), out, workers=0)
    found = "".join(sections(plan, records, out, absent=["ecapa"])).split("###")[1:]
    by_steps, all_by_steps, by_seconds, all_by_seconds = found
    assert "tiny, 2 steps a run" in by_steps
    assert "tiny, 0.01 seconds a run" in by_seconds
    for text in (all_by_steps, all_by_seconds):
        rows = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")]
        assert rows == ["model", "linear baseline", "course sample"]
    for text in (by_steps, by_seconds):
        titles = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")]
        assert titles == ["model", "linear baseline", "course sample", "ECAPA-TDNN (SpeechBrain)"]
    lines = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert len(lines) >= 5


def test_macro_accuracy_counts_every_speaker_the_same() -> None:
    truth = np.array([2, 0, 0, 0, 2])
    correct = np.array([[1, 1, 1, 0, 0], [0, 0, 0, 0, 0]], bool)
    assert macro(correct, truth) == pytest.approx([(1 / 2 + 2 / 3) / 2, 0])


def test_the_bootstrap_of_one_speaker_and_one_run_is_binomial() -> None:
    correct = np.arange(200)[None] < 140
    found = bootstrap_interval(correct, np.zeros(200, int), resamples=20_000)
    expected = binom.ppf([0.025, 0.975], 200, 0.7) / 200
    assert found == pytest.approx(expected, abs=0.006)


def test_the_bootstrap_draws_runs_and_keeps_speakers() -> None:
    # One run identifies everyone and the other no one: means are 0, 1/2 and 1, the outer ones with probability 1/4.
    correct = np.array([[True] * 4, [False] * 4])
    assert bootstrap_interval(correct, np.array([0, 1, 0, 1])) == (0, 1)
    # One speaker is always known and the other never, which no draw of utterances changes.
    assert bootstrap_interval(np.array([[True, False, True, False]]), np.array([5, 1, 5, 1])) == (0.5, 0.5)


def test_a_table_as_written_out() -> None:
    truth = np.array([0, 1])
    figures = {"parameters": 1234, "steps": 10, "seconds": 2.0, "rate": 99.6}
    results = [
        {"title": "ours", **figures, "correct": {"1 s": "80"}},
        {"title": "ours", **figures, "seconds": 3.0, "correct": {"1 s": "c0"}},
        {"title": "line", **dict.fromkeys(figures), "correct": {"1 s": "c0"}},
        {"title": "lost", "failed": "diverged"},
    ]
    assert table(results, truth, ["1 s"], ["deaf"]).splitlines() == [
        "| model | parameters | steps | training s | utterances/s | 1 s |",
        "|---|---|---|---|---|---|",
        "| ours | 1,234 | 10 | 2.5 | 100 | 75.0 ± 35.4 (50.0 to 100.0) |",
        "| line | – | – | – | – | 100.0 (100.0 to 100.0) |",
        "| lost (1 of 1 failed) | – | – | – | – | – |",
        "| deaf | – | – | – | – | – |",
    ]


def test_an_overview_as_written_out() -> None:
    truth = np.array([0, 1])
    ours = [{"title": "ours", "correct": {"whole": digits}} for digits in ("80", "c0")]
    line = [{"title": "line", "correct": {"whole": "80"}}]
    assert overview({"a": ([*line, *ours], truth), "b": (ours[:1], truth)}, "whole").splitlines() == [
        "| model | a | b |",
        "|---|---|---|",
        "| line | 50.0 | – |",
        "| ours | 75.0 ± 35.4 | 50.0 |",
    ]


def test_who_lacks_a_package_is_left_out_or_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(models.importlib.util, "find_spec", lambda _: None)
    assert available(None) == [name for name in BY_DEFAULT if CONTESTANTS[name].needs is None]
    assert capsys.readouterr().out.count("pip install -e '.[compare]'") == 2
    with pytest.raises(UserError, match="ecapa: needs speechbrain, which is not installed"):
        available(["linear", "ecapa"])


EXCHANGED = (
    "few_minutes-squeeze", "few_minutes-batch-norms", "few_minutes-wide-norm", "few_minutes-wide-context",
    "ecapa-64-narrow", "ecapa-64-no-squeeze", "ecapa-64-no-aggregation", "ecapa-64-no-attention",
)  # fmt: skip


@pytest.mark.parametrize("name", ["course", "conformer", "ecapa", *EXCHANGED])
def test_models_of_others_and_with_parts_exchanged_classify_like_ours(name: str, tmp_path: Path) -> None:
    contestant = CONTESTANTS[name]
    assert isinstance(contestant, Trained)
    if contestant.needs and not importlib.util.find_spec(contestant.needs):
        pytest.skip(f"needs {contestant.needs}, of the extra `compare`")
    if name == "conformer":
        import_torchaudio()
    config = config_of(contestant, tmp_path, tmp_path / "run", 0, 100)
    torch.manual_seed(0)
    model = contestant.make_model(config.model, 40, 5, 2)
    assert model(torch.randn(3, 50, 40)).shape == (3, 7)
    lengths = np.array([50, 30, 41])
    store = FrameStore(torch.randn(int(lengths.sum()), 40).numpy(), np.cumsum(lengths) - lengths, lengths)
    together = predict([model], store, range(3), config.data.frames_per_batch)
    assert together.shape == (3, 5)
    with torch.no_grad():
        alone = torch.cat([model.eval()(store.utterance(n)[None]).log_softmax(-1) for n in range(3)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


def test_torchaudio_s_conformer_is_of_task_2_s_size(tmp_path: Path) -> None:
    import_torchaudio()
    sizes = []
    for name in ("conformer", "task2"):
        contestant = CONTESTANTS[name]
        assert isinstance(contestant, Trained)
        config = config_of(contestant, tmp_path, tmp_path / "run", 0, 100).model
        sizes.append(unique_parameters(contestant.make_model(config, 40, 22, 0)))
    assert sizes[0] == pytest.approx(sizes[1], rel=0.02)


def test_classifiers_of_embeddings_find_the_nearest_speaker() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 10)
    embeddings = np.eye(4)[labels] + 0.1 * rng.standard_normal((30, 4))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    for classifier in (
        nearest_centroid(embeddings[::2], labels[::2]),
        logistic_regression(embeddings[::2], labels[::2], embeddings[1::2], labels[1::2]),
    ):
        assert classifier.predict(embeddings[1::2]).tolist() == labels[1::2].tolist()
    assert nearest_centroid(embeddings, labels).parameters == 4 * 3 + 3


def test_a_pretrained_encoder_hears_what_the_others_hear(out: Path) -> None:
    if not importlib.util.find_spec("resemblyzer"):
        pytest.skip("needs resemblyzer, of the extra `compare`")
    data = Data.open(TINY, out)
    embed = Embedder(data.root, data.corpus.features)
    names = list(data.corpus.test.names)
    whole, seconds = embed(names)
    short, _ = embed(names, frames=20)
    assert seconds > 0
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), 1, rtol=1e-5)
    assert not np.allclose(whole, short)
    assert {record["title"] for record in run(Job("tiny", "resemblyzer"), out)} == {
        "Resemblyzer, nearest centroid",
        "Resemblyzer, logistic regression",
    }
