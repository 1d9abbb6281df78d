from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speakerid.audio.measure import Measured
from speakerid.base.printing import NAMED, listed
from speakerid.preparation.quality.findings import KINDS, Examined, Finding, by_speaker, findings

GOOD = Measured(
    seconds=8.0, sample_rate=16_000, channels=1, peak_db=-3.0, level_db=-20.0, clipped=0.0, silence=0.2, snr_db=30.0
)


def corpus(speakers: int = 4, sessions: int = 3, each: int = 6, seed: int = 0) -> Examined:
    """A corpus without problems: every speaker has at least two sessions and a distinct voice."""
    rng = np.random.default_rng(seed)
    indices = [(one, day, take) for one in range(speakers) for day in range(sessions) for take in range(each)]
    voices = 8 * rng.standard_normal((speakers, 10))
    channels = 2 * rng.standard_normal((speakers, sessions, 10))
    rows = [voices[one] + channels[one, day] + rng.standard_normal(10) for one, day, _ in indices]
    return Examined(
        [f"s{one}/day{day}/{take}.wav" for one, day, take in indices],
        [f"s{one}" for one, _, _ in indices],
        [f"day{day}" for _, day, _ in indices],
        [GOOD] * len(indices),
        [f"{index:032x}" for index in range(len(indices))],
        [np.unique(rng.integers(0, 2**32, 64, dtype=np.uint32)) for _ in indices],
        np.array(rows, np.float32),
    )


def with_measured(examined: Examined, indices: list[int], **fields: float) -> Examined:
    measured = list(examined.measured)
    for index in indices:
        measured[index] = replace(measured[index], **fields)
    return replace(examined, measured=measured)


def copied(examined: Examined, source: int, target: int, exactly: bool) -> Examined:
    """Make the recording at `target` a copy of that at `source`, exact or similar; its statistics stay."""
    if exactly:
        digests = list(examined.digests)
        digests[target] = digests[source]
        return replace(examined, digests=digests)
    prints = list(examined.fingerprints)
    prints[target] = np.unique(np.concatenate([prints[source][:40], prints[target][:20]]))
    return replace(examined, fingerprints=prints)


def of_kind(found: list[Finding], kind: str) -> list[Finding]:
    return [finding for finding in found if finding.kind == kind]


def test_a_corpus_without_problems_has_no_findings() -> None:
    assert findings(corpus(), []) == []


@pytest.mark.parametrize("exactly", [True, False])
def test_copies_of_one_speaker_are_found(exactly: bool) -> None:
    (found,) = findings(copied(corpus(), 3, 9, exactly), [])
    assert found.kind == ("duplicate" if exactly else "near duplicate")
    assert found.files == ("s0/day0/3.wav", "s0/day1/3.wav")
    assert "s0/day0/3.wav, s0/day1/3.wav" in found.text


@pytest.mark.parametrize("exactly", [True, False])
def test_copies_under_two_names_are_found(exactly: bool) -> None:
    (found,) = findings(copied(corpus(), 3, 20, exactly), [])
    assert found.kind == ("duplicate" if exactly else "near duplicate") + " across speakers"
    assert found.files == ("s0/day0/3.wav", "s1/day0/2.wav")
    assert "s0, s1" in found.text


def test_exact_copies_are_found_once() -> None:
    examined = copied(copied(corpus(), 3, 9, exactly=True), 3, 9, exactly=False)
    assert [finding.kind for finding in findings(examined, [])] == ["duplicate"]


def test_a_wrong_label_is_found() -> None:
    examined = corpus()
    speakers, sessions = list(examined.speakers), list(examined.sessions)
    speakers[4], sessions[4] = "s2", "day1"
    (found,) = findings(replace(examined, speakers=speakers, sessions=sessions), [])
    assert found.kind == "wrong label?"
    assert found.files == ("s0/day0/4.wav",)
    assert "times as far from s2's other recordings as from those of s0" in found.text


def test_one_person_under_two_names_is_found_and_their_labels_are_not_doubted() -> None:
    examined = corpus(each=10)
    speakers = [f"{name} again" if name == "s1" and index % 2 else name for index, name in enumerate(examined.speakers)]
    (found,) = findings(replace(examined, speakers=speakers), [])
    assert found.kind == "one person under two names?"
    assert "s1 and s1 again" in found.text
    assert sorted(found.files) == [name for name in examined.names if name.startswith("s1/")]
    assert "s1/day0/0.wav" in found.text, "says what to compare"


@pytest.mark.parametrize(("seconds", "each"), [(2.0, 6), (8.0, 3)])
def test_a_speaker_with_too_little_is_found(seconds: float, each: int) -> None:
    examined = corpus(each=each) if each < 6 else with_measured(corpus(), list(range(18)), seconds=seconds)
    found = findings(examined, [])
    assert {finding.kind for finding in found} == {"too little"}
    assert found[0].files == tuple(name for name in examined.names if name.startswith("s0/"))
    assert found[0].text.startswith("s0: ")


def test_silence_does_not_count_as_sound() -> None:
    examined = with_measured(corpus(), list(range(18)), silence=0.7)  # 144 s, of which 43 s are sound
    assert [(finding.kind, finding.text) for finding in findings(examined, [])] == [
        ("too little", "s0: 43 s of sound in 18 recordings")
    ]


def test_speakers_with_one_session_are_listed() -> None:
    examined = corpus()
    sessions = ["only" if speaker in {"s0", "s3"} else session for speaker, session in zip(
        examined.speakers, examined.sessions, strict=True)]  # fmt: skip
    (found,) = findings(replace(examined, sessions=sessions), [])
    assert found.kind == "single session"
    assert found.text == "2 of 4 speakers with only one session: s0, s3"
    assert len(found.files) == 36


def test_unknown_sessions_are_one_finding() -> None:
    examined = corpus(sessions=1, each=20)
    (found,) = findings(replace(examined, sessions=[None] * len(examined.names)), [])
    assert found.kind == "single session"
    assert "are unknown: validation may share occasions" in found.text
    assert len(found.files) == 80


@pytest.mark.parametrize(
    ("kind", "fields", "shown"),
    [
        ("clipped", {"clipped": 0.02}, "2.0 %"),
        ("noisy", {"snr_db": 3.0}, "3.0 dB"),
        ("mostly silence", {"silence": 0.9}, "90 %"),
        ("quiet", {"peak_db": -55.0}, "-55 dB"),
    ],
)
def test_poor_recordings_are_grouped_by_speaker_with_the_worst(kind: str, fields: dict[str, float], shown: str) -> None:
    examined = with_measured(corpus(each=10), [3, 5, 40], **fields)
    first, second = findings(examined, [])
    assert first.kind == second.kind == kind
    assert first.files == ("s0/day0/3.wav", "s0/day0/5.wav")
    assert second.files == ("s1/day1/0.wav",)
    assert "s0: 2 of 30 recordings with" in first.text
    assert f"worst {shown}: s0/day0/3.wav, s0/day0/5.wav" in first.text


def test_low_sample_rates_are_those_below_the_features() -> None:
    examined = with_measured(with_measured(corpus(), [1, 2], sample_rate=8_000), [7], sample_rate=11_025)
    low, middle = findings(examined, [])
    assert low.kind == middle.kind == "low sample rate"
    assert low.text.startswith("2 recordings of 1 speaker at 8,000 Hz")
    assert middle.files == ("s0/day1/1.wav",)
    assert findings(examined, [], sample_rate=8_000) == []


def test_left_out_recordings_are_reported_literally() -> None:
    found = findings(corpus(), ["s0/a.wav: holds no samples", "s1: only one usable recording"])
    assert [(finding.kind, finding.text, finding.files) for finding in found] == [
        ("left out", "s0/a.wav: holds no samples", ("s0/a.wav",)),
        ("left out", "s1: only one usable recording", ("s1",)),
    ]


@given(names=st.lists(st.text("abc", min_size=1, max_size=3), max_size=25))
def test_ten_names_are_listed_and_the_rest_counted(names: list[str]) -> None:
    text = listed(names)
    assert text.split(" and ")[0].split(", ") == (names[:NAMED] or [""])
    assert (f" and {len(names) - NAMED} more" in text) == (len(names) > NAMED)


FAULTS: list[Callable[[Examined], Examined]] = [
    lambda examined: copied(examined, 0, 1, exactly=True),
    lambda examined: copied(examined, 2, 30, exactly=True),
    lambda examined: copied(examined, 5, 50, exactly=False),
    lambda examined: with_measured(examined, list(range(0, 40)), snr_db=1.0),
    lambda examined: with_measured(examined, [8], sample_rate=8_000),
    lambda examined: with_measured(examined, list(range(18)), seconds=0.5),
    lambda examined: replace(examined, sessions=[None] * len(examined.names)),
    lambda examined: replace(examined, speakers=["s3" if p == 2 else s for p, s in enumerate(examined.speakers)]),
]


@settings(max_examples=30, deadline=None)
@given(faults=st.lists(st.sampled_from(FAULTS), max_size=5), left_out=st.lists(st.just("a.wav: broken"), max_size=2))
def test_findings_are_ordered_reproducible_and_short(
    faults: list[Callable[[Examined], Examined]], left_out: list[str]
) -> None:
    examined = corpus()
    for fault in faults:
        examined = fault(examined)
    found = findings(examined, left_out)
    assert found == findings(examined, left_out)
    assert [finding.kind for finding in found] == sorted((finding.kind for finding in found), key=KINDS.index)
    assert bool(found) == bool(faults or left_out)
    for finding in found:
        assert finding.files
        assert finding.kind == "left out" or set(finding.files) <= set(examined.names)
        assert len(set(finding.files)) == len(finding.files)
        assert sum(name in finding.text for name in finding.files) <= NAMED
        assert "\n" not in finding.text + finding.advice
        assert finding.advice
    for members in by_speaker(examined).values():
        assert members == sorted(members)
