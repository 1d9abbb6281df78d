"""Conversations are what they claim to be, and a timeline of them is counted moment by moment."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from experiments import answer_of_script
from open_set import conversations as module
from open_set.conversations import NOBODY, RIGHT, SOMEBODY, TURNS, UNKNOWN, Conversation, conversation, shares
from recognition.bundles import Trained
from speakerid.config import FeatureConfig
from speakerid.corpus.layouts import scan
from speakerid.corpus.prepare import Options, prepare
from speakerid.corpus.recordings import Recording
from speakerid.errors import UserError
from speakerid.recognition.recognizer import Recognizer
from speakerid.recognition.timeline import Segment

ROOT = Path(__file__).resolve().parents[1]
RATE = 16_000


@pytest.fixture
def known(trained: Trained) -> list[Recording]:
    return [one for one in scan(trained.recordings).recordings if one.speaker in trained.bundle.profiles.names]


@pytest.fixture
def strangers(trained: Trained, known: list[Recording]) -> list[Recording]:
    return [one for one in scan(trained.recordings).recordings if one not in known]


def test_people_take_turns(known: list[Recording], strangers: list[Recording]) -> None:
    talk = conversation(known, strangers, FeatureConfig(), 0)
    people = {name for _, _, name in talk.turns}
    assert len(talk.turns) == TURNS
    assert len(people) == 4
    assert len(people & {one.speaker for one in strangers}) == 1
    for (_, end, name), (start, _, other) in itertools.pairwise(talk.turns):
        assert name != other
        assert 0 <= start - end <= 1
        assert not talk.waveform[round(end * RATE) : round(start * RATE)].any()
    for start, end, _ in talk.turns:
        turn = talk.waveform[round(start * RATE) : round(end * RATE)]
        assert 0.5 < np.abs(turn).max() / 10 ** (FeatureConfig().level / 20) <= 1.001
    again, another = (conversation(known, strangers, FeatureConfig(), number) for number in (0, 1))
    np.testing.assert_array_equal(again.waveform, talk.waveform)
    assert another.turns != talk.turns


def test_without_strangers_everybody_is_known(known: list[Recording], strangers: list[Recording]) -> None:
    assert len({name for _, _, name in conversation(known, [], FeatureConfig(), 0).turns}) == 4
    with pytest.raises(UserError, match="a conversation needs 4 people, found recordings of 2"):
        conversation(strangers, [], FeatureConfig(), 0)


def test_every_moment_is_counted(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anna for 4 s, a pause of 1 s, a stranger for 2 s, Ben for 3 s; the pause is nobody's."""
    anna, ben, carl = trained.bundle.profiles.names[:3]
    turns = [(0.0, 4.0, anna), (5.0, 7.0, trained.stranger), (7.0, 10.0, ben)]
    said = [(0.5, 2.0, anna), (2.0, 3.0, carl), (3.0, 5.5, None), (5.5, 6.0, ben), (6.5, 8.0, None), (8.0, 12.0, ben)]
    segments = [Segment(start, end, name, 0.9) for start, end, name in said]
    monkeypatch.setattr(module, "timeline", lambda *_: segments)
    talk = Conversation(np.zeros(10 * RATE, np.float32), RATE, turns)
    heard = shares(Recognizer(trained.bundle), talk, None)
    assert heard[True] == {RIGHT: 350, SOMEBODY: 100, UNKNOWN: 200, NOBODY: 50}
    assert heard[False] == {SOMEBODY: 50, UNKNOWN: 100, NOBODY: 50}


def test_the_script(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(trained.recordings, tmp_path / "corpus", Options(layout_out="packed", test_fraction=0.3, workers=0))
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / trained.stranger).symlink_to(trained.recordings / trained.stranger)
    command = [ROOT / "scripts" / "timelines.py", trained.path, tmp_path / "corpus", "--conversations", 2]
    capsys.readouterr()
    assert answer_of_script(monkeypatch, *command, "--strangers", tmp_path / "others") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("2 conversations, ")
    rows = [[cell.strip().split(" ")[0] for cell in line.strip("|").split("|")[1:]] for line in lines[4:]]
    assert len(rows) == 8
    for rule in (rows[:4], rows[4:]):
        for column in range(2):
            assert sum(float(row[column] or 0) for row in rule) == pytest.approx(100, abs=0.3)
