"""Conversations have the turns they claim, and timelines of them are measured to the second."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments import answer_of_script
from open_set import conversations as module
from open_set.conversations import (
    ANOTHER,
    KNOWN,
    MISSED,
    RIGHT,
    SILENCE,
    STRANGER,
    TURNS,
    UNKNOWN,
    conversation,
    seconds,
)
from open_set.error_rates import error_rates, installed
from recognition.bundles import Trained
from speakerid.base.errors import UserError
from speakerid.config import FeatureConfig
from speakerid.preparation.prepare import Options, prepare
from speakerid.preparation.sources.layouts import scan
from speakerid.preparation.sources.recordings import Recording
from speakerid.recognition.timeline import Segment

ROOT = Path(__file__).resolve().parents[2]
RATE = 16_000
needs_pyannote = pytest.mark.skipif(not installed(), reason="needs pyannote.metrics, of the extra `dev`")


@pytest.fixture
def known(trained: Trained) -> list[Recording]:
    return [one for one in scan(trained.recordings).recordings if one.speaker in trained.bundle.profiles.names]


@pytest.fixture
def strangers(trained: Trained, known: list[Recording]) -> list[Recording]:
    return [one for one in scan(trained.recordings).recordings if one not in known]


def test_people_take_turns(known: list[Recording], strangers: list[Recording]) -> None:
    talk = conversation(known, strangers, FeatureConfig(), 0, simulated=False)
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
    again, another = (conversation(known, strangers, FeatureConfig(), number, simulated=False) for number in (0, 1))
    np.testing.assert_array_equal(again.waveform, talk.waveform)
    assert another.turns != talk.turns


def test_a_conversation_is_recorded_on_one_occasion(known: list[Recording], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("av", reason="codecs need PyAV")
    monkeypatch.setattr(module, "TURNS", 3)  # codecs take time
    clean, other, again = (conversation(known, [], FeatureConfig(), 3, simulated) for simulated in (False, True, True))
    assert other.turns == clean.turns
    np.testing.assert_array_equal(again.waveform, other.waveform)
    length, expected = (len(talk.waveform) / talk.sample_rate for talk in (other, clean))
    assert length == pytest.approx(expected, abs=0.2)


def test_without_strangers_all_are_known(known: list[Recording], strangers: list[Recording]) -> None:
    assert len({name for _, _, name in conversation(known, [], FeatureConfig(), 0, simulated=False).turns}) == 4
    with pytest.raises(UserError, match="a conversation needs 4 people, found recordings of 2"):
        conversation(strangers, [], FeatureConfig(), 0)


def test_every_second_is_counted() -> None:
    """Anna for 4 s, a pause of 1 s, a stranger for 2 s, Ben for 3 s."""
    turns = [(0.0, 4.0, "Anna"), (5.0, 7.0, "Zoe"), (7.0, 10.0, "Ben")]
    said = [
        (0.5, 2.0, "Anna"), (2.0, 3.0, "Carl"), (3.0, 5.5, None), (5.5, 6.0, "Ben"), (6.5, 8.0, None),
        (8.0, 12.0, "Ben"),
    ]  # fmt: skip
    counted = seconds(turns, [Segment(start, end, name, 0.9) for start, end, name in said], ["Anna", "Ben", "Carl"])
    assert counted[KNOWN] == {RIGHT: 3.5, ANOTHER: 1.0, UNKNOWN: 2.0, MISSED: 0.5}
    assert counted[STRANGER] == {ANOTHER: 0.5, UNKNOWN: 1.0, MISSED: 0.5}
    assert counted[SILENCE] == {UNKNOWN: 1.0, ANOTHER: 2.0}
    assert seconds(turns, [], ["Anna", "Ben", "Carl"])[KNOWN] == {MISSED: 7.0}


def stretches(names: list[str]) -> st.SearchStrategy[list[tuple[float, float, str]]]:
    """Pauses and speech in turn, in tenths of a second."""
    steps = st.lists(st.tuples(st.integers(0, 20), st.integers(1, 50), st.sampled_from(names)), min_size=1, max_size=9)

    def placed(steps: list[tuple[int, int, str]]) -> list[tuple[float, float, str]]:
        ends = np.cumsum([pause + length for pause, length, _ in steps])
        return [((end - s[1]) / 10, end / 10, s[2]) for end, s in zip(ends.tolist(), steps, strict=True)]

    return steps.map(placed)


@needs_pyannote
@settings(deadline=None)  # the first import of pandas takes seconds
@given(stretches(["Anna", "Ben", "Zoe"]), stretches(["Anna", "Ben", UNKNOWN]))
def test_shares_are_those_of_pyannote(
    turns: list[tuple[float, float, str]], said: list[tuple[float, float, str]]
) -> None:
    names = ["Anna", "Ben"]
    segments = [Segment(start, end, None if name == UNKNOWN else name, 0.9) for start, end, name in said]
    counted = seconds(turns, segments, names)
    speech = counted[KNOWN].total() + counted[STRANGER].total()
    wrong = speech - counted[KNOWN][RIGHT] - counted[STRANGER][UNKNOWN]
    alarms = counted[SILENCE].total() - counted[SILENCE][MISSED]
    rates = error_rates(turns, segments, names, collar=0.0)
    assert rates["identification error"] == pytest.approx((wrong + alarms) / speech)
    assert rates["diarization error"] <= 1 + alarms / speech + 1e-9


@needs_pyannote
def test_the_collar_is_a_quarter_of_a_second_to_either_side() -> None:
    turns = [(0.0, 4.0, "Anna"), (4.0, 8.0, "Ben")]
    late = [Segment(0.0, 4.25, "Anna", 0.9), Segment(4.25, 8.0, "Ben", 0.9)]
    later = [Segment(0.0, 4.5, "Anna", 0.9), Segment(4.5, 8.0, "Ben", 0.9)]
    assert error_rates(turns, late, ["Anna", "Ben"])["identification error"] == pytest.approx(0)
    assert error_rates(turns, later, ["Anna", "Ben"])["identification error"] == pytest.approx(0.25 / 7)
    assert error_rates(turns, late, ["Anna", "Ben"], collar=0.0)["diarization error"] == pytest.approx(0.25 / 8)


def test_the_script(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(trained.recordings, tmp_path / "corpus", Options(layout_out="packed", test_fraction=0.3, workers=0))
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / trained.stranger).symlink_to(trained.recordings / trained.stranger)
    command = [
        ROOT / "scripts" / "research" / "timelines.py",
        trained.path,
        tmp_path / "corpus",
        "--conversations",
        2,
        "--clean",
    ]
    capsys.readouterr()
    assert answer_of_script(monkeypatch, *command, "--strangers", tmp_path / "others") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("2 conversations, ")
    rows = [
        [cell.strip().split(" ")[0] for cell in line.strip("|").split("|")[1:]]
        for line in lines
        if line.startswith("| ") and not line.startswith("| outcome")
    ]
    assert len(rows) == 8
    for rule in (rows[:4], rows[4:]):
        for column in range(2):
            assert sum(float(row[column]) for row in rule) == pytest.approx(100, abs=0.3)
    if not installed():
        assert lines[-1].endswith("need pyannote.metrics; pip install -e '.[compare]'")
    else:
        assert sum(line.startswith("collar") for line in lines) == 4
