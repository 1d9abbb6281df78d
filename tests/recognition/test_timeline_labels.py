"""Names of recordings and speakers in fields without blanks."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speakerid.base.errors import UserError
from speakerid.recognition.timeline_labels import UNKNOWN, check_names, file_ids, speaker_labels

NAME = st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=6).filter(
    lambda name: name not in (".", "..")
)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a/01.wav", "a/02.wav"], ["01", "02"]),
        (["board meeting.wav"], ["board_meeting"]),
        (["mon/01.wav", "tue/01.wav"], ["mon/01", "tue/01"]),
        (["team call.wav", "team_call.wav"], ["team%20call", "team_call"]),
        (["x.wav", "x.ogg", "y.wav"], ["x.wav", "x.ogg", "y.wav"]),
        (["mon/x.wav", "mon/x.ogg", "tue/x.wav"], ["mon/x.wav", "mon/x.ogg", "tue/x.wav"]),
        (["a b.wav", "a\tb.wav", "a%20b.wav"], ["a%20b", "a%09b", "a%2520b"]),
        (["<NA>.wav"], ["%3CNA%3E"]),
        (["\udce9t\udce9.wav"], ["%E9t%E9"]),
        (["027.30M.wav"], ["027.30M"]),
        ([], []),
    ],
)
def test_ids_are_as_short_as_they_can_be(names: list[str], expected: list[str]) -> None:
    assert list(file_ids([Path(name) for name in names]).values()) == expected


@settings(deadline=None)
@given(st.lists(st.tuples(NAME, st.sampled_from([".wav", ".ogg"]), NAME), unique=True, max_size=6))
def test_no_two_recordings_share_an_id(parts: list[tuple[str, str, str]]) -> None:
    paths = [Path(folder) / (name + ending) for folder, ending, name in parts]
    ids = file_ids(paths)
    assert len(set(ids.values())) == len(set(paths))
    assert all(one.split() == [one] and one.isprintable() for one in ids.values())


@settings(deadline=None)
@given(st.lists(st.text(min_size=1, max_size=5).filter(lambda name: name != UNKNOWN), unique=True, max_size=6))
def test_no_two_speakers_share_a_label(names: list[str]) -> None:
    labels = speaker_labels(names)
    assert len(set(labels.values())) == len(names) + 1
    assert all(label.split() == [label] and label.isprintable() for label in labels.values())


def test_a_speaker_is_not_called_what_strangers_are() -> None:
    check_names(["Anna", "Unknown"], Path("b"))
    with pytest.raises(UserError, match=r"b: found a speaker called 'unknown'.*speakerid rename b unknown NEW"):
        check_names(["Anna", "unknown"], Path("b"))
    with pytest.raises(UserError, match=r"called 'stranger 1'.*speakerid rename b 'stranger 1' NEW"):
        check_names(["stranger 1"], Path("b"))
