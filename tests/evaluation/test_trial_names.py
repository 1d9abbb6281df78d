import csv
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from speakerid.base.errors import UserError
from speakerid.config import FeatureConfig
from speakerid.corpus.utterances import Corpus, Utterance, Utterances
from speakerid.evaluation.trial_names import rows_of_names
from speakerid.preparation.recordings_table import HEADER

RECORDINGS = [
    ("uttr-a", "labelled", "id1/v1/00001.wav"),
    ("uttr-b", "test", "id1/v2/00001.wav"),
    ("uttr-c", "test", "id1/v2/00002.flac"),
    ("uttr-d", "strangers", "id2_x/v3/00001.wav"),
    ("uttr-e", "test", "x.y.wav"),
    ("uttr-f", "test", "deep/id1/v2/00002.flac"),
    ("uttr-g", "test", "two.wav"),
    ("uttr-h", "test", "two.wav"),
]
HERE = ["uttr-b.pt", "uttr-c.pt", "uttr-e.pt", "uttr-f.pt", "uttr-g.pt", "uttr-h.pt", "uttr-d.pt"]


def write_corpus(root: Path, recordings: Sequence[tuple[str, str, str]] = RECORDINGS) -> Corpus:
    """A corpus with nothing but the table of recordings."""
    root.mkdir()
    with (root / "recordings.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, HEADER)
        writer.writeheader()
        for utterance, part, path in recordings:
            row = {"utterance": f"{utterance}.pt", "part": part, "speaker": "anna"}
            writer.writerow(row | {"path": root.parent / "source" / path})
    labelled = Utterances.of([Utterance("uttr-a.pt", 9, "anna")])
    return Corpus(root, FeatureConfig(), ("anna",), labelled)


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return write_corpus(tmp_path / "corpus")


@pytest.mark.parametrize(
    ("name", "utterance"),
    [
        ("uttr-b.pt", "uttr-b.pt"),
        ("uttr-b", "uttr-b.pt"),
        ("id1/v2/00001.wav", "uttr-b.pt"),
        ("id1/v2/00001", "uttr-b.pt"),
        ("id1/v2/00001.m4a", "uttr-b.pt"),
        ("./id1/v2/00001.wav", "uttr-b.pt"),
        ("id1\\v2\\00001.wav", "uttr-b.pt"),
        ("id1-v2-00001", "uttr-b.pt"),
        ("id1_v2_00001.wav", "uttr-b.pt"),
        ("id2_x-v3-00001", "uttr-d.pt"),
        ("v2/00001.wav", "uttr-b.pt"),
        ("source/id1/v2/00001.wav", "uttr-b.pt"),
        ("{source}/id1/v2/00001.wav", "uttr-b.pt"),
        ("{source}/id1/v2/00001", "uttr-b.pt"),
        ("{link}/id1/v2/00001.wav", "uttr-b.pt"),
        ("id2_x/v3/00001.wav", "uttr-d.pt"),
        ("x.y", "uttr-e.pt"),
        ("x.y.wav", "uttr-e.pt"),
        ("id1/v2/00002.flac", "uttr-c.pt"),  # relative to the folder of all recordings; another path ends the same
        ("deep/id1/v2/00002", "uttr-f.pt"),
    ],
)
def test_names_of_utterances_and_recordings(name: str, utterance: str, corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "source")
    name = name.format(source=tmp_path / "source", link=tmp_path / "link")
    assert rows_of_names(Path("list"), [name, name], corpus, HERE) == {name: HERE.index(utterance)}


def test_a_recording_may_be_named_by_where_its_link_leads(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "real.wav").touch()
    (tmp_path / "source" / "link.wav").symlink_to(tmp_path / "real.wav")
    corpus = write_corpus(tmp_path / "corpus", [("uttr-a", "test", "link.wav")])
    name = str(tmp_path / "real.wav")
    assert rows_of_names(Path("list"), [name], corpus, ["uttr-a.pt"]) == {name: 0}


def test_relative_to_the_working_folder(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    name = "../source/id1/v2/00001.wav"
    assert rows_of_names(Path("list"), [name], corpus, HERE) == {name: 0}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["nobody", "uttr-b"], r"list: 1 of 2 names are not in .*corpus: 'nobody'; expected .*'uttr-b.pt'"),
        ([f"n{n}" for n in range(9)], r"9 of 9 names are not in .*: 'n0', 'n1', 'n2' and 6 more;"),
        (["id1/v1/00001.wav"], r"1 of 1 names are training utterances: 'id1/v1/00001.wav'"),
        (["00001.wav"], r"1 of 1 names match several utterances each: '00001.wav'"),
        (["two.wav"], r"match several utterances each: 'two.wav'"),
        (
            ["nobody", "two.wav", "uttr-a"],
            r"1 of 3 .* not in .*; .* training utterances: 'uttr-a'; .* match several",
        ),
        (["/elsewhere/id1/v2/00001.wav"], r"are not in"),
        (["a\nb"], r"are not in .*'a\\nb'"),
    ],
)
def test_names_that_cannot_be_used(names: list[str], message: str, corpus: Corpus) -> None:
    with pytest.raises(UserError, match=message) as error:
        rows_of_names(Path("list"), names, corpus, HERE)
    assert "\n" not in str(error.value)


def test_a_corpus_without_recordings_has_feature_paths_only(corpus: Corpus) -> None:
    os.remove(corpus.root / "recordings.csv")
    assert rows_of_names(Path("list"), ["uttr-b"], corpus, HERE) == {"uttr-b": 0}
    with pytest.raises(UserError, match="are not in"):
        rows_of_names(Path("list"), ["id1/v2/00001.wav"], corpus, HERE)
