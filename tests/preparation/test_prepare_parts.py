"""Parts of a prepared corpus: strangers, copies at other speeds, test data, segments, packed copies."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from corpora import write_corpus
from experiments import small_config
from speakerid.base.errors import CorpusError, UserError
from speakerid.config import FeatureConfig
from speakerid.corpus.check import check_corpus, open_corpus
from speakerid.corpus.split import split
from speakerid.evaluation.submission import infer
from speakerid.preparation.prepare import Options, Prepared, prepare
from speakerid.training.checkpoint import Checkpoint
from speakerid.training.run import train

OPTIONS = Options(workers=0, features=FeatureConfig(n_mels=8))


def record(path: Path, pitch: float, seed: int, seconds: float = 0.4, pause: float = 0.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    time = np.arange(round(16_000 * seconds)) / 16_000
    samples = sum(np.sin(2 * np.pi * k * pitch * time) / k for k in range(1, 20)) + 0.3 * rng.standard_normal(len(time))
    silence = np.zeros(round(16_000 * pause))
    soundfile.write(path, np.concatenate([0.1 * samples, silence, 0.1 * samples]), 16_000)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for speaker in range(4):
        for n in range(6):
            path = tmp_path / "recordings" / f"s{speaker}" / f"day{n // 2}" / f"{n}.wav"
            record(path, pitch=100 * 1.3**speaker, seed=10 * speaker + n)
    return tmp_path / "recordings"


def run(source: Path, out: Path, **options: object) -> Prepared:
    return prepare(source, out, replace(OPTIONS, **options))  # type: ignore[arg-type]


class TestStrangers:
    @pytest.mark.parametrize("layout_out", ["hw4", "packed", "both"])
    def test_strangers_are_a_separate_part(self, source: Path, tmp_path: Path, layout_out: str) -> None:
        prepared = run(source, tmp_path / "out", strangers=2, test_fraction=0.3, layout_out=layout_out)
        corpus, store = open_corpus(tmp_path / "out", "strangers")
        assert corpus == prepared.corpus == check_corpus(tmp_path / "out")
        held_out = {utterance.speaker for utterance in corpus.strangers}
        assert len(corpus.speakers) == len(held_out) == 2
        assert not held_out & set(corpus.speakers)
        assert len(store) == len(corpus.strangers) == 12
        assert {u.speaker for u in (*corpus.labelled, *corpus.test)} == set(corpus.speakers)

    def test_another_speaker_does_not_change_the_strangers(self, source: Path, tmp_path: Path) -> None:
        def strangers(out: str) -> set[str | None]:
            return {u.speaker for u in run(source, tmp_path / out, strangers=2).corpus.strangers}

        before = strangers("before")
        for n in range(2):
            record(source / "new" / f"{n}.wav", 90, seed=n)
        assert len(before & strangers("after")) >= 1

    def test_two_speakers_must_remain(self, source: Path, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="strangers: found 3 of 4 speakers; at least two must remain"):
            run(source, tmp_path / "out", strangers=3)


class TestCopiesAtOtherSpeeds:
    @pytest.mark.parametrize("layout_out", ["hw4", "packed", "both"])
    def test_only_training_recordings_are_copied(self, source: Path, tmp_path: Path, layout_out: str) -> None:
        plain = run(source, tmp_path / "plain", test_fraction=0.3).corpus
        out = tmp_path / "out"
        corpus = run(source, out, test_fraction=0.3, speeds=True, layout_out=layout_out).corpus
        assert open_corpus(out)[0] == corpus == check_corpus(out)
        assert corpus.speakers == plain.speakers
        assert [u for u in corpus.labelled if u.copy_of is None] == list(plain.labelled)
        assert corpus.test == plain.test
        copies = [u for u in corpus.labelled if u.copy_of]
        assert len(copies) == 2 * len(plain.labelled)
        assert corpus.labelled.speaker_names == (
            *corpus.speakers, *sorted(f"s{n} (speed {speed})" for n in range(4) for speed in (0.9, 1.1)),
        )  # fmt: skip
        parts = split(corpus.labelled, "auto", 0.1, seed=0)
        assert parts.valid
        held_out = {corpus.labelled[row].feature_path for row in parts.valid}
        assert not any(corpus.labelled[row].copy_of in held_out for row in parts.train)
        assert len(parts.train) == 3 * (len(plain.labelled) - len(parts.valid))

    def test_the_same_recordings_make_the_same_copies(self, source: Path, tmp_path: Path) -> None:
        for out in ("one", "two"):
            run(source, tmp_path / out, speeds=True)
        record(source / "s1" / "day9" / "new.wav", 130, seed=99)
        run(source, tmp_path / "two", speeds=True)
        (one, first), (two, second) = (open_corpus(tmp_path / out) for out in ("one", "two"))
        index = {name: row for row, name in enumerate(two.labelled.names)}
        assert len(two.labelled) == len(one.labelled) + 3
        for row, name in enumerate(one.labelled.names):
            assert torch.equal(first.utterance(row), second.utterance(index[name]))

    def test_copies_have_no_longer_pauses_than_their_originals(self, tmp_path: Path) -> None:
        for speaker in range(2):
            for n in range(2):
                record(tmp_path / "in" / f"s{speaker}" / f"{n}.wav", 100, seed=n, pause=2.0)
        corpus = run(tmp_path / "in", tmp_path / "out", speeds=True).corpus
        lengths = {u.feature_path: u.length for u in corpus.labelled}
        for utterance in corpus.labelled:
            if utterance.copy_of:
                speed = float(str(utterance.speaker).rstrip(")").split()[-1])
                assert abs(utterance.length - lengths[utterance.copy_of] / speed) <= 2

    def test_copies_are_training_classes_and_never_predicted(self, source: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        corpus = run(source, out, test_fraction=0.3, speeds=True).corpus
        config = small_config(out, tmp_path / "run", total_steps=4)
        result = train(config)
        checkpoint = Checkpoint.load(result.run.best)
        assert checkpoint.speakers == corpus.speakers
        assert checkpoint.extra_classes == 8
        model = checkpoint.build_model()
        features = torch.randn(2, 20, 8)
        assert model(features).shape == (2, 4)
        assert model.train()(features).shape == (2, 12)
        infer([result.run.best], out, tmp_path / "submission.csv", torch.device("cpu"))
        answers = {line.split(",")[1] for line in (tmp_path / "submission.csv").read_text().splitlines()[1:]}
        assert answers <= set(corpus.speakers)


def test_segments_of_a_table(source: Path, tmp_path: Path) -> None:
    lines = ["path,speaker,session,start,end"]
    for speaker in range(2):
        for n in range(6):
            lines.append(f"recordings/s{speaker}/day{n // 2}/{n}.wav,Frau {speaker},{n // 2},0.1,0.3")
            lines.append(f"recordings/s{speaker}/day{n // 2}/{n}.wav,Frau {speaker},{n // 2},0.4,")
    (tmp_path / "table.csv").write_text("\n".join(lines))
    prepared = run(tmp_path / "table.csv", tmp_path / "out", layout_out="packed")
    corpus, store = open_corpus(tmp_path / "out")
    assert prepared.scan.layout == "table"
    assert corpus.speakers == ("Frau 0", "Frau 1")
    assert sorted(set(store.lengths.tolist())) == [21, 41]
    assert {u.session for u in corpus.labelled} == {"0", "1", "2"}


def test_speaker_without_sessions_is_tested_on_the_last_recordings(source: Path, tmp_path: Path) -> None:
    for n in range(4):
        record(source / "alone" / f"{n}.wav", 300, seed=n, seconds=0.2 + 0.1 * n)
    corpus = run(source, tmp_path / "out", test_fraction=0.25).corpus
    assert {u.session for u in corpus.labelled if u.speaker == "s0"} == {"day0", "day1"}
    (last,) = (u for u in corpus.test if u.speaker == "alone")
    assert last.length == max(u.length for u in (*corpus.labelled, *corpus.test))


def test_random_test_data_give_a_warning(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    by_session = run(source, tmp_path / "session", test_fraction=0.3).corpus
    assert "Test data: whole sessions, so no recording occasion is on both sides\n" in capsys.readouterr().out
    at_random = run(source, tmp_path / "random", test_fraction=0.3, split="random").corpus
    assert "Test data: at random; sessions are on both sides, so accuracy is inflated\n" in capsys.readouterr().out
    assert len(by_session.test) == len(at_random.test) == 8
    sessions = {(u.speaker, u.session) for u in by_session.labelled}
    assert len(sessions) == 8
    assert len({(u.speaker, u.session) for u in at_random.labelled}) > 8


class TestHW4Source:
    @pytest.mark.parametrize("layout_out", ["hw4", "packed", "both"])
    def test_corpus_is_written_in_another_form(self, tmp_path: Path, layout_out: str) -> None:
        features = write_corpus(tmp_path / "hw4", test=3, sessions=2)
        before = {path.name: path.read_bytes() for path in (tmp_path / "hw4").iterdir()}
        prepared = prepare(tmp_path / "hw4", tmp_path / "out", Options(layout_out=layout_out))  # type: ignore[arg-type]
        corpus, store = open_corpus(tmp_path / "out")
        assert corpus.labelled == prepared.corpus.labelled == check_corpus(tmp_path / "hw4").labelled
        assert torch.equal(
            torch.cat([store.utterance(row) for row in range(len(store))]), torch.cat(list(features.values())[:9])
        )
        assert open_corpus(tmp_path / "out", "test")[0].test[:] == list(check_corpus(tmp_path / "hw4").test)
        assert {path.name: path.read_bytes() for path in (tmp_path / "hw4").iterdir()} == before

    @pytest.mark.parametrize("layout", ["auto", "hw4"])
    @pytest.mark.parametrize("inner", ["Dataset", "archive/Dataset"])
    def test_an_archive_unpacked_one_level_too_deep_is_packed(self, tmp_path: Path, inner: str, layout: str) -> None:
        write_corpus(tmp_path / "hw4" / inner, test=3)
        (tmp_path / "hw4" / "README.txt").touch()
        prepared = prepare(tmp_path / "hw4", tmp_path / "out", Options(layout=layout))
        assert check_corpus(tmp_path / "out").labelled == prepared.corpus.labelled
        assert len(prepared.corpus.test) == 3

    def test_all_problems_are_reported_at_once(self, tmp_path: Path) -> None:
        paths = list(write_corpus(tmp_path / "hw4", test=3))
        for name in (paths[0], paths[10]):
            (tmp_path / "hw4" / name).unlink()
        with pytest.raises(CorpusError) as caught:
            prepare(tmp_path / "hw4", tmp_path / "out")
        assert len(caught.value.problems) == 2

    @pytest.mark.parametrize(
        "options",
        [{"test_fraction": 0.1}, {"strangers": 1}, {"speeds": True}, {"features": FeatureConfig(n_mels=80)}],
    )
    def test_options_without_effect_are_refused(self, tmp_path: Path, options: dict[str, object]) -> None:
        write_corpus(tmp_path / "hw4")
        with pytest.raises(
            UserError, match=f"{next(iter(options))}: has no effect on .*already computed; leave it out"
        ):
            prepare(tmp_path / "hw4", tmp_path / "out", Options(**options))  # type: ignore[arg-type]
