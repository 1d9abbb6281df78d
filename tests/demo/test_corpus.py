"""Demonstration corpus: the same seed gives the same bytes, and the parts share no session."""

from pathlib import Path

import pytest

from speakerid.base.errors import UserError
from speakerid.corpus.check import check_corpus, open_corpus
from speakerid.corpus.split import split
from speakerid.demo.corpus import SESSIONS, write_demo_corpus
from speakerid.preparation.prepare import Options, prepare


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("demo") / "corpus"
    write_demo_corpus(root, speakers=3, utterances=1, workers=0, wav=root.parent / "wav")
    return root


def test_corpus_is_valid(small: Path) -> None:
    corpus = check_corpus(small)
    assert corpus.speakers == ("demo0000", "demo0001", "demo0002")
    assert len(corpus.labelled) == 3 * (SESSIONS - 1)
    assert len(corpus.test) == 3
    assert sorted(corpus.answers or ()) == list(corpus.speakers)


def test_parts_share_no_session(small: Path) -> None:
    corpus, _ = open_corpus(small)
    parts = split(corpus.labelled, "auto", 0.1, seed=0)

    def sessions(indices: list[int]) -> set[tuple[str | None, str | None]]:
        return {(corpus.labelled[i].speaker, corpus.labelled[i].session) for i in indices}

    assert len(sessions(parts.valid)) == 3
    assert len(sessions(parts.train)) == 3 * (SESSIONS - 2)
    assert not sessions(parts.train) & sessions(parts.valid)
    labelled = {utterance.feature_path for utterance in corpus.labelled}
    assert not labelled & {utterance.feature_path for utterance in corpus.test}


def test_file_names_do_not_reveal_the_speaker(small: Path) -> None:
    corpus, _ = open_corpus(small)
    assert all(utterance.session is None for utterance in corpus.test)
    assert "demo0" not in (small / "testdata.json").read_text()
    for utterance in (*corpus.labelled, *corpus.test):
        assert len(utterance.feature_path) == len("uttr-.pt") + 32
    assert sorted(utterance.feature_path for utterance in corpus.test) == [u.feature_path for u in corpus.test]


def test_number_of_workers_does_not_change_the_bytes(small: Path, tmp_path: Path) -> None:
    write_demo_corpus(tmp_path / "again", speakers=3, utterances=1, workers=2)
    packed = {name for name in contents(small) if name.startswith("packed/")}
    expected = {name: content for name, content in contents(small).items() if name not in packed}
    assert contents(tmp_path / "again") == expected


def test_more_speakers_do_not_change_the_first(small: Path, tmp_path: Path) -> None:
    write_demo_corpus(tmp_path / "two", speakers=2, utterances=1, workers=0)
    ours, theirs = contents(tmp_path / "two"), contents(small)
    shared = [name for name in ours if name.startswith("uttr-")]
    assert len(shared) == 2 * SESSIONS
    assert all(ours[name] == theirs[name] for name in shared)


def test_another_seed_is_another_corpus(small: Path, tmp_path: Path) -> None:
    write_demo_corpus(tmp_path / "other", speakers=2, utterances=1, seed=1, workers=0)
    ours, theirs = contents(tmp_path / "other"), contents(small)
    assert not {n for n in ours if n.startswith("uttr-")} & theirs.keys()


def test_recordings_can_be_prepared(small: Path, tmp_path: Path) -> None:
    wav = small.parent / "wav"
    assert len(list(wav.rglob("*.wav"))) == 3 * SESSIONS
    corpus = prepare(wav, tmp_path / "prepared", Options(workers=0)).corpus
    assert corpus.speakers == ("demo0000", "demo0001", "demo0002")
    assert {utterance.session for utterance in corpus.labelled} == {f"session{n:02d}" for n in range(SESSIONS)}


def test_mistakes(small: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="speakers: found 1, expected at least 2"):
        write_demo_corpus(tmp_path / "one", speakers=1)
    with pytest.raises(UserError, match="already exists"):
        write_demo_corpus(small)
