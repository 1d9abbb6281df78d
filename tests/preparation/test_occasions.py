"""Recordings on simulated occasions, each of which is a session of the corpus."""

from collections import Counter
from pathlib import Path

import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from corpora import write_recording
from experiments import answer
from speakerid.audio import codec_simulation as codecs
from speakerid.config import FeatureConfig
from speakerid.corpus.check import open_corpus
from speakerid.preparation import recordings_table
from speakerid.preparation.occasions import FOLDER, simulate, split_sessions
from speakerid.preparation.prepare import Options, prepare
from speakerid.preparation.sources.recordings import Recording

pytest.importorskip("av", reason="needs PyAV, of the extra `av`")

OPTIONS = Options(workers=0, layout_out="packed", features=FeatureConfig(n_mels=8), occasions=2, test_fraction=0.3)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for speaker in ("anna", "ben"):
        for number in range(4):
            write_recording(tmp_path / "recordings" / speaker / f"{number}.wav", 0.3)
    return tmp_path / "recordings"


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["x", "y", None])), max_size=30), st.integers(1, 5))
def test_sessions_are_split_evenly_and_in_order(drawn: list[tuple[str, str | None]], occasions: int) -> None:
    ordered = sorted(drawn, key=str)
    recordings = [Recording(Path(f"{n}.wav"), f"{n}", speaker, session) for n, (speaker, session) in enumerate(ordered)]
    result = split_sessions(recordings, occasions)
    assert [(one.name, one.speaker) for one in result] == [(one.name, one.speaker) for one in recordings]
    for group, count in Counter(ordered).items():
        sessions = [new.session for old, new in zip(ordered, result, strict=True) if old == group]
        assert sessions == sorted(sessions, key=str)
        sizes = Counter(sessions).values()
        assert len(sizes) == min(occasions, count)
        assert max(sizes) - min(sizes) <= 1


def test_every_occasion_is_a_session_of_audible_files(source: Path, tmp_path: Path) -> None:
    prepared = prepare(source, tmp_path / "corpus", OPTIONS)
    labelled = prepared.corpus.labelled
    assert not prepared.skipped
    assert [(one.speaker, one.session) for one in labelled] == [
        (speaker, "occasion 1") for speaker in ("anna", "ben") for _ in range(2)
    ]
    assert {one.session for one in prepared.corpus.test} == {"occasion 2"}
    for recording in recordings_table.read(tmp_path / "corpus").values():
        assert recording.path.parent == (tmp_path / "corpus" / FOLDER).absolute()
        assert soundfile.info(recording.path).duration == pytest.approx(0.3, abs=0.2)


def test_prepare_again_simulates_nothing_twice_and_removes_the_rest(source: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    first = prepare(source, corpus, OPTIONS).corpus.labelled.names
    written = {path: path.stat().st_mtime_ns for path in (corpus / FOLDER).iterdir()}
    assert len(written) == 8
    assert prepare(source, corpus, OPTIONS).corpus.labelled.names == first
    assert {path: path.stat().st_mtime_ns for path in (corpus / FOLDER).iterdir()} == written
    (source / "anna" / "3.wav").unlink()
    prepare(source, corpus, OPTIONS)
    assert len(list((corpus / FOLDER).iterdir())) == 7
    prepare(source, corpus, Options(workers=0, layout_out="packed", features=OPTIONS.features))
    assert not (corpus / FOLDER).exists()
    assert len(open_corpus(corpus)[0].labelled) == 7


def test_occasions_depend_on_the_seed_and_not_on_the_workers(source: Path, tmp_path: Path) -> None:
    recordings = [Recording(path, path.name, "anna", "day") for path in sorted((source / "anna").iterdir())]

    def sounds(name: str, seed: int, workers: int) -> list[bytes]:
        return [one.path.read_bytes() for one in simulate(recordings, tmp_path / name, seed, workers=workers)]

    assert sounds("a", 0, 0) == sounds("b", 0, 1) != sounds("c", 1, 0)


def test_a_broken_recording_is_reported(source: Path, tmp_path: Path) -> None:
    (source / "anna" / "broken.wav").write_bytes(b"RIFF nothing")
    prepared = prepare(source, tmp_path / "corpus", OPTIONS)
    (line,) = prepared.skipped
    assert line.startswith("anna/broken.wav: cannot be decoded")


def test_the_command_needs_the_codecs(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("prepare", source, tmp_path / "corpus", "--occasions", 2, "--workers", 1, "--layout-out", "packed")
    monkeypatch.setattr(codecs.importlib.util, "find_spec", lambda _: None)
    assert answer(monkeypatch, *arguments) == 2
    assert "--occasions: AMR, Opus and MP3 need PyAV" in capsys.readouterr().err
    monkeypatch.undo()
    assert answer(monkeypatch, *arguments) == 0
    assert {one.session for one in open_corpus(tmp_path / "corpus")[0].labelled} == {"occasion 1", "occasion 2"}
