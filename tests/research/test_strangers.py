"""Speakers become strangers with all their utterances, and the script measures a bundle on them."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from experiments import answer_of_script
from open_set.draws import hold_out
from recognition.bundles import KNOWN, Trained
from speakerid.audio.speed import SPEEDS
from speakerid.base.errors import UserError
from speakerid.corpus.check import open_corpus
from speakerid.corpus.utterances import PARTS
from speakerid.preparation.prepare import Options, prepare

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def corpus(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight voices with test utterances, and copies of the training utterances at other speeds."""
    folder = tmp_path_factory.mktemp("corpus") / "corpus"
    prepare(trained.recordings, folder, Options(layout_out="packed", test_fraction=0.3, speeds=True, workers=0))
    return folder


def test_a_speaker_held_out_is_in_no_other_part_and_nor_are_their_copies(corpus: Path, tmp_path: Path) -> None:
    hold_out(corpus, tmp_path / "held", strangers=2, draw=1)
    source, (held, labelled) = open_corpus(corpus)[0], open_corpus(tmp_path / "held")
    strangers = set(source.speakers) - set(held.speakers)
    assert len(strangers) == 2
    assert {one.speaker for one in held.strangers} == strangers
    assert {one.speaker for one in held.test} == set(held.speakers)
    assert held.extra_classes == len(SPEEDS) * len(held.speakers)
    originals = [one for one in (*source.labelled, *source.test) if one.speaker in strangers and one.copy_of is None]
    assert len(held.strangers) == len(originals)
    kept = len(source.labelled) * len(held.speakers) // len(source.speakers)
    assert len(held.labelled) == len(labelled) == kept  # all speakers have equally many


def test_frames_move_with_their_utterances(corpus: Path, tmp_path: Path) -> None:
    hold_out(corpus, tmp_path / "held", strangers=2, draw=1)
    source = frames_of(corpus)
    for name, frames in frames_of(tmp_path / "held").items():
        np.testing.assert_array_equal(frames, source[name])


def frames_of(root: Path) -> dict[str, NDArray[np.floating]]:
    """Frames of all parts, by feature path."""
    corpus = open_corpus(root)[0]
    found = {}
    for part in PARTS:
        if not (utterances := corpus.part(part)):
            continue
        store = open_corpus(root, part)[1]
        for row, name in enumerate(utterances.names):
            found[name] = store.utterance(row).numpy()
    return found


def test_another_draw_holds_others_out_and_the_same_the_same(corpus: Path, tmp_path: Path) -> None:
    drawn = []
    for folder, draw in (("a", 1), ("b", 1), ("c", 2)):
        hold_out(corpus, tmp_path / folder, strangers=2, draw=draw)
        drawn.append(open_corpus(tmp_path / folder)[0].speakers)
    assert drawn[0] == drawn[1] != drawn[2]


def test_somebody_must_stay(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"--strangers: found {KNOWN + 1} of {KNOWN + 2} speakers; at least two"):
        hold_out(corpus, tmp_path / "held", strangers=KNOWN + 1, draw=0)


def test_answers_are_needed(trained: Trained, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--test-fraction"):
        hold_out(trained.corpus, tmp_path / "held", strangers=2, draw=0)


@pytest.mark.nightly
def test_the_script_trains_measures_and_does_not_train_twice(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        ROOT / "scripts" / "research" / "strangers.py",
        corpus,
        tmp_path,
        "--strangers",
        2,
        "--draws",
        1,
        "--steps",
        20,
    ]
    assert answer_of_script(monkeypatch, *command) == 0
    first = capsys.readouterr().out
    assert first.count("\n|") >= 5
    assert "1 enrolled from 3 clips each, whole utterances" in first
    assert answer_of_script(monkeypatch, *command) == 0
    again = capsys.readouterr().out
    assert "Step" not in again
    assert first.endswith(again)
