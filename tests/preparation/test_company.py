"""Company: other people's recordings, from folders to a corpus."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from corpora import edited
from experiments import answer
from speakerid.base.errors import CorpusError, UserError
from speakerid.config import FeatureConfig
from speakerid.corpus.check import check_corpus, open_corpus
from speakerid.corpus.split import split
from speakerid.corpus.utterances import Corpus
from speakerid.evaluation.leakage import leakage
from speakerid.preparation.prepare import Options, Prepared, prepare

OPTIONS = Options(workers=0, layout_out="both", features=FeatureConfig(n_mels=8))


def record(path: Path, seed: int, seconds: float = 0.4) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = 0.1 * np.random.default_rng(seed).standard_normal(round(16_000 * seconds))
    soundfile.write(path, samples, 16_000)
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for speaker, name in enumerate(("anna", "ben", "cleo")):
        for n in range(4):
            record(tmp_path / "recordings" / name / f"day{n // 2}" / f"{n}.wav", 10 * speaker + n)
    return tmp_path / "recordings"


@pytest.fixture
def friends(tmp_path: Path) -> Path:
    """Eleven people in a folder of their own, the first with one recording."""
    for person in range(11):
        for n in range(1 if person == 0 else 3):
            record(tmp_path / "friends" / "wav" / f"p{person}" / f"{n}.wav", 1_000 + 10 * person + n)
    return tmp_path / "friends"


def run(source: Path, out: Path, *company: Path, **options: object) -> Prepared:
    return prepare(source, out, replace(OPTIONS, company=company, **options))  # type: ignore[arg-type]


def people(corpus: Corpus) -> set[str]:
    return {str(u.speaker) for u, beside in zip(corpus.labelled, corpus.labelled.company, strict=True) if beside}


def contents(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.parent.name != "prepared"
    }


@pytest.mark.parametrize("layout_out", ["hw4", "packed", "both"])
def test_company_classes_follow_the_speakers(source: Path, friends: Path, tmp_path: Path, layout_out: str) -> None:
    out = tmp_path / "out"
    corpus = run(source, out, friends, test_fraction=0.5, layout_out=layout_out).corpus
    opened, store = open_corpus(out)
    assert opened == corpus == check_corpus(out)
    assert corpus.speakers == ("anna", "ben", "cleo")
    assert len(people(corpus)) == corpus.extra_classes == 9
    assert all(name.startswith("company/friends/p") for name in people(corpus))
    strangers = {str(u.speaker) for u in corpus.strangers}
    assert len(strangers) == 2
    assert people(corpus) | strangers == {f"company/friends/p{person}" for person in range(11)}
    assert {u.speaker for u in corpus.test} == set(corpus.speakers)
    assert len(store) == len(corpus.labelled)
    assert corpus.company == opened.company
    assert corpus.company
    assert (corpus.company.folders, corpus.company.people, corpus.company.strangers) == (["friends"], 9, 2)
    parts = split(corpus.labelled, "auto", 0.9, seed=0)
    beside = np.flatnonzero(corpus.labelled.company).tolist()
    assert set(beside) <= set(parts.train)
    assert not set(beside) & set(parts.valid)
    plain = run(source, tmp_path / "plain", test_fraction=0.5, layout_out=layout_out).corpus
    assert parts.valid == split(plain.labelled, "auto", 0.9, seed=0).valid
    assert list(corpus.test) == list(plain.test)
    assert list(corpus.labelled)[: len(plain.labelled)] == list(plain.labelled)
    assert plain.company is None


def test_metadata_and_recordings_table_name_company(source: Path, friends: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    corpus = run(source, out, friends).corpus
    metadata = json.loads((out / "metadata.json").read_text(encoding="utf-8"))
    mapping = json.loads((out / "mapping.json").read_text(encoding="utf-8"))["speaker2id"]
    assert set(metadata) == {"n_mels", "speakers"}
    assert set(metadata["speakers"]) == {"anna", "ben", "cleo"} | people(corpus) == set(mapping)
    assert {mapping[name] for name in corpus.speakers} == {0, 1, 2}
    with (out / "recordings.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    rows_of_company = [row for row in rows if row["speaker"].startswith("company/friends/")]
    assert len(rows_of_company) == 31
    assert {row["part"] for row in rows_of_company} == {"labelled", "strangers"}
    again = run(out / "recordings.csv", tmp_path / "again").corpus
    assert (again.speakers, people(again), again.company) == (corpus.speakers, people(corpus), corpus.company)
    with edited(out / "mapping.json") as content:
        content["speaker2id"]["anna"], content["speaker2id"][min(people(corpus))] = 3, 0
        content["id2speaker"] = {str(index): name for name, index in content["speaker2id"].items()}
    with pytest.raises(CorpusError, match=r"and company .* must come last"):
        check_corpus(out)


def test_prepare_again_with_and_without_company(source: Path, friends: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(source, out, friends)
    first = contents(out)
    run(source, out, friends)
    assert contents(out) == first
    run(source, out)
    plain = contents(out)
    assert not any(b"company/" in content for name, content in plain.items() if name != "packed/lock")
    assert not list((out / "packed").glob("strangers*"))
    run(source, out, friends)
    with_company = contents(out)
    assert with_company.keys() == first.keys()
    same = {name for name in first if with_company[name] == first[name]}
    assert {"metadata.json", "mapping.json", "strangers.json", "recordings.csv"} <= same
    run(source, tmp_path / "other")
    run(source, tmp_path / "other", friends)
    assert open_corpus(tmp_path / "other")[0].labelled == open_corpus(out)[0].labelled


def test_several_folders_of_one_name_in_any_order(source: Path, tmp_path: Path) -> None:
    one, other = tmp_path / "a" / "wav", tmp_path / "b" / "wav"
    for number, folder in enumerate((one, other)):
        record(folder / "p1" / "0.wav", 70 + number)
        record(folder / "p2" / "0.wav", 80 + number)
    corpus = run(source, tmp_path / "out", one, other, one).corpus
    assert people(corpus) == {f"company/wav{more}/{name}" for more in ("", "#2") for name in ("p1", "p2")}
    assert run(source, tmp_path / "other", other, one).corpus.labelled == corpus.labelled


def test_company_has_no_speed_copies(source: Path, friends: Path, tmp_path: Path) -> None:
    corpus = run(source, tmp_path / "out", friends, speeds=True).corpus
    assert corpus == check_corpus(tmp_path / "out")
    made = [name for name in corpus.labelled.speaker_names if "speed" in name]
    assert len(made) == 6
    assert not any(name.startswith("company/") for name in made)
    assert corpus.labelled.speaker_names[:9] == (*corpus.speakers, *made)


def test_measurements_of_the_speakers_do_not_change(source: Path, friends: Path, tmp_path: Path) -> None:
    beside, plain = run(source, tmp_path / "out", friends), run(source, tmp_path / "plain")
    leaks = []
    for name in ("out", "plain"):
        corpus, store = open_corpus(tmp_path / name)
        leaks.append(leakage(store, corpus.labelled))
    assert leaks[0] == leaks[1]
    assert [finding for finding in beside.findings if finding.kind != "company"] == plain.findings
    (finding,) = [finding for finding in beside.findings if finding.kind == "company"]
    assert (
        finding.text == "company: 9 people, 27 utterances, 0.2 min; 2 more people held out as strangers, from friends"
    )


class TestBad:
    def refused(self, source: Path, tmp_path: Path, *company: Path) -> str:
        with pytest.raises(UserError) as caught:
            run(source, tmp_path / "out", *company)
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "out" / "metadata.json").exists()
        return str(caught.value)

    @pytest.mark.parametrize("name", ["ben", "Ben", "BEN"])
    def test_a_name_of_a_speaker(self, source: Path, friends: Path, tmp_path: Path, name: str) -> None:
        (friends / "wav" / "p1").rename(friends / "wav" / name)
        assert self.refused(source, tmp_path, friends) == (
            f"--company: found people with the name of a speaker: company/friends/{name} (ben); remove them "
            "from the company if they are the same person, else rename them there"
        )

    def test_a_recording_of_a_speaker_is_left_out(self, source: Path, friends: Path, tmp_path: Path) -> None:
        shutil.copy(source / "anna" / "day0" / "0.wav", friends / "wav" / "p1" / "0.wav")
        samples, rate = soundfile.read(record(source / "ben" / "day0" / "9.wav", 77, seconds=5))
        soundfile.write(friends / "wav" / "p2" / "1.wav", 0.5 * samples[8_000:], rate)
        prepared = run(source, tmp_path / "out", friends)
        assert prepared.skipped == [
            "company/friends/wav/p1/0.wav: likely the same recording as anna/day0/0.wav of a speaker",
            "company/friends/wav/p2/1.wav: likely the same recording as ben/day0/9.wav of a speaker",
        ]
        assert prepared.corpus.company
        assert len(prepared.corpus.labelled) + len(prepared.corpus.strangers) == 13 + 31 - 2

    def test_only_recordings_of_speakers(self, source: Path, tmp_path: Path) -> None:
        shutil.copytree(source / "anna", tmp_path / "friends" / "somebody")
        line = self.refused(source, tmp_path, tmp_path / "friends")
        assert line.startswith("--company: none of its recordings can be used: company/friends/somebody/day0/0.wav: ")

    def test_nothing(self, source: Path, tmp_path: Path) -> None:
        (tmp_path / "friends").mkdir()
        assert "friends: no recordings in layout folders" in self.refused(source, tmp_path, tmp_path / "friends")
        assert "no such folder" in self.refused(source, tmp_path, tmp_path / "nowhere")

    def test_features(self, source: Path, tmp_path: Path) -> None:
        run(source, tmp_path / "corpus")
        assert "found features, expected recordings" in self.refused(source, tmp_path, tmp_path / "corpus")

    def test_broken_recordings_alone(self, source: Path, tmp_path: Path) -> None:
        path = tmp_path / "friends" / "dora" / "0.wav"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"RIFF")
        line = self.refused(source, tmp_path, tmp_path / "friends")
        assert line.startswith("--company: none of its recordings can be used: company/friends/dora/0.wav: ")

    def test_a_folder_in_another_one(self, source: Path, friends: Path, tmp_path: Path) -> None:
        assert "is in" in self.refused(source, tmp_path, friends, friends / "wav" / "p1")

    def test_features_take_no_company(self, source: Path, friends: Path, tmp_path: Path) -> None:
        run(source, tmp_path / "corpus", friends)
        with pytest.raises(UserError, match="company: has no effect on"):
            prepare(tmp_path / "corpus", tmp_path / "out", Options(company=(friends,)))
        packed = prepare(tmp_path / "corpus", tmp_path / "out", Options(layout_out="packed")).corpus
        assert packed.company == check_corpus(tmp_path / "corpus").company

    def test_one_recording_is_company_enough(self, source: Path, tmp_path: Path) -> None:
        record(tmp_path / "friends" / "dora" / "0.wav", 5_000)
        corpus = run(source, tmp_path / "out", tmp_path / "friends").corpus
        assert corpus == check_corpus(tmp_path / "out")
        assert people(corpus) == {"company/friends/dora"}


class TestCommand:
    @pytest.mark.parametrize(
        ("company", "line"),
        [
            ("recordings", "is SOURCE; expected recordings of other people"),
            ("recordings/anna", "is in SOURCE"),
            (".", "OUT: "),
        ],
    )
    def test_company_is_not_the_source(
        self, source: Path, tmp_path: Path, company: str, line: str, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:  # fmt: skip
        assert answer(monkeypatch, "prepare", source, tmp_path / "out", "--company", tmp_path / company) == 2
        error = capsys.readouterr().err
        assert line in error
        assert error.count("\n") == 1

    def test_folders_and_downloads(
        self, source: Path, friends: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:  # fmt: skip
        def fetched(name: str, folder: Path) -> Path:
            record(folder / name / "reader" / "0.wav", 9_000)
            return folder / name

        monkeypatch.setattr("speakerid.preparation.download.download", fetched)
        dora = record(tmp_path / "more" / "dora" / "0.wav", 8_000)
        out, company = tmp_path / "data" / "out", ("--company", friends, "--company", dora.parents[1])
        more = ("--company-download", "corpus-a", "--workers", 1)
        assert answer(monkeypatch, "prepare", source, out, *company, *more) == 0
        printed = capsys.readouterr().out
        assert "company: 11 people, " in printed
        assert ", from corpus-a, friends, more" in printed
        assert "3 speakers, 12 labelled" in printed
        company = open_corpus(out)[0].company
        assert company
        assert company.folders == ["corpus-a", "friends", "more"]
