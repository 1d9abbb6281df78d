"""Cut turns into utterances: without overlaps, joined and cut to a length."""

from hypothesis import given, settings
from hypothesis import strategies as st

from speakerid.annotations.speech import PAUSE, SHORTEST, Spoken, utterances_in
from speakerid.annotations.turns import Turn

TIMES = st.integers(0, 60_000).map(lambda milliseconds: milliseconds / 1000)
SPANS = st.tuples(TIMES, st.integers(1, 30_000)).map(lambda one: (one[0], one[0] + one[1] / 1000))
TURNS = st.lists(
    st.builds(lambda span, who: Turn(span[0], span[1], who), SPANS, st.sampled_from(["Ann", "Ben", "Zoë", None])),
    max_size=12,
)
REGIONS = st.none() | st.lists(SPANS, min_size=1, max_size=3)
LONGEST = st.sampled_from([1.0, 2.5, 10.0, 100.0])
NUMBER = 1e-6
"""Rounding of milliseconds as seconds."""


def cut(turns: list[Turn], regions: list[tuple[float, float]] | None, longest: float) -> Spoken:
    return utterances_in(turns, regions, longest)


@given(turns=TURNS, regions=REGIONS, longest=LONGEST)
@settings(max_examples=50, deadline=None)
def test_no_one_else_speaks_in_an_utterance_of_at_most_the_length(
    turns: list[Turn], regions: list[tuple[float, float]] | None, longest: float
) -> None:
    spoken = cut(turns, regions, longest)
    for start, end, speaker in spoken.utterances:
        assert SHORTEST - NUMBER <= end - start <= longest + NUMBER
        for turn in turns:
            assert turn.speaker == speaker or turn.end <= start + NUMBER or turn.start >= end - NUMBER
        if regions is not None:
            edges = [edge for region in regions for edge in region if start + NUMBER < edge < end - NUMBER]
            inside = [(start, *sorted(edges)), (*sorted(edges), end)]
            for left, right in zip(*inside, strict=True):
                middle = (left + right) / 2
                assert any(first <= middle <= last for first, last in regions)
    following = zip(spoken.utterances, spoken.utterances[1:], strict=False)
    assert all(one.end <= other.start for one, other in following)


@given(turns=TURNS, regions=REGIONS, longest=LONGEST)
@settings(max_examples=50, deadline=None)
def test_all_speech_is_used_or_left_out_with_a_reason(
    turns: list[Turn], regions: list[tuple[float, float]] | None, longest: float
) -> None:
    """Compared with a second implementation, which looks at every 10 ms."""
    spoken = cut(turns, regions, longest)
    step = 0.01
    times = [step * (index + 0.5) for index in range(9_100)]
    seconds = {"used": 0.0, "overlapping": 0.0, "unnamed": 0.0, "outside": 0.0}
    for time in times if turns else ():
        speakers = {turn.speaker for turn in turns if turn.start <= time < turn.end}
        if not speakers:
            continue
        inside = regions is None or any(start <= time < end for start, end in regions)
        kind = (
            "outside"
            if not inside
            else "overlapping"
            if len(speakers) > 1
            else "unnamed"
            if None in speakers
            else "used"
        )
        seconds[kind] += step
    rounding = 2 * step * (len(turns) + len(regions or ()) + 1)
    assert abs(spoken.overlapping - seconds["overlapping"]) <= rounding
    assert abs(spoken.unnamed - seconds["unnamed"]) <= rounding
    assert abs(spoken.outside - seconds["outside"]) <= rounding
    assert abs(sum(spoken.used.values()) + spoken.short - seconds["used"]) <= rounding


def test_short_turns_are_joined_over_short_pauses() -> None:
    times = [(0, 1, "Ann"), (1.5, 2, "Ann"), (2 + PAUSE, 4, "Ann"), (5.1, 6.2, "Ann"), (6.3, 7, "Ben"), (7.1, 9, "Ann")]
    turns = [Turn(*one) for one in times]
    assert cut(turns, None, 10).utterances == [(0, 4, "Ann"), (5.1, 6.2, "Ann"), (7.1, 9, "Ann")]
    assert cut(turns, None, 2.5).utterances == [(0, 2, "Ann"), (3, 4, "Ann"), (5.1, 6.2, "Ann"), (7.1, 9, "Ann")]
    assert cut(turns, None, 10).short == 0.7


def test_a_long_turn_is_cut_evenly() -> None:
    found = cut([Turn(1, 26, "Ann")], None, 10).utterances
    assert found == [(1, 9.333, "Ann"), (9.333, 17.666, "Ann"), (17.666, 26, "Ann")]


def test_overlaps_are_left_out() -> None:
    spoken = cut([Turn(0, 5, "Ann"), Turn(3, 8, "Ben"), Turn(2, 4, "Ann")], None, 10)
    assert spoken.utterances == [(0, 3, "Ann"), (5, 8, "Ben")]
    assert (spoken.overlapping, spoken.annotated, spoken.used) == (2, {"Ann": 7, "Ben": 5}, {"Ann": 3, "Ben": 3})
