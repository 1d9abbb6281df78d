from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speakerid.base.errors import UserError
from speakerid.corpus.split import Split, folds, split
from speakerid.corpus.utterances import Utterance, Utterances

By = Literal["auto", "session", "order", "random"]
EVERY: list[By] = ["auto", "session", "order", "random"]


def utterances(*parts: tuple[str, str | None]) -> Utterances:
    return Utterances.of(
        Utterance(f"uttr-{index}.pt", 100, speaker, session) for index, (speaker, session) in enumerate(parts)
    )


@st.composite
def corpora(draw: st.DrawFn, known: bool) -> Utterances:
    """Speakers interleaved, each with at least two utterances; with known sessions, each with at least two of them."""
    parts: list[tuple[str, str | None]] = []
    for speaker in "abcd"[: draw(st.integers(1, 4))]:
        sessions: list[str | None] = ["1", "2"] if known else [None]
        choice = st.sampled_from(["1", "2", "3", "4"]) if known else st.sampled_from(["1", "2", None])
        sessions += draw(st.lists(choice, min_size=0 if known else 1, max_size=10))
        parts += [(speaker, session) for session in sessions]
    return utterances(*draw(st.permutations(parts)))


def indices_by_speaker(corpus: Sequence[Utterance]) -> list[list[int]]:
    indices: dict[str | None, list[int]] = defaultdict(list)
    for index, utterance in enumerate(corpus):
        indices[utterance.speaker].append(index)
    return list(indices.values())


def sessions(corpus: Sequence[Utterance], indices: Sequence[int]) -> set[tuple[str | None, str | None]]:
    return {(corpus[index].speaker, corpus[index].session) for index in indices}


fractions = st.floats(0.01, 0.99)


@settings(deadline=None, max_examples=80)
@given(st.booleans().flatmap(corpora), st.sampled_from(EVERY), fractions, st.integers(0, 9))
def test_every_speaker_is_in_both_parts_and_nothing_is_twice(
    corpus: Utterances, by: By, fraction: float, seed: int
) -> None:
    if by == "session" and not all(
        len(known) > 1 and None not in known
        for known in ({corpus[index].session for index in indices} for indices in indices_by_speaker(corpus))
    ):
        with pytest.raises(UserError, match=r"use data\.split=auto"):
            split(corpus, by, fraction, seed)
        return
    parts = split(corpus, by, fraction, seed)
    assert parts.train == sorted(parts.train)
    assert parts.valid == sorted(parts.valid)
    assert sorted(parts.train + parts.valid) == list(range(len(corpus)))
    for indices in indices_by_speaker(corpus):
        assert set(indices) & set(parts.train)
        assert set(indices) & set(parts.valid)
    assert split(Utterances.of(list(corpus)), by, fraction, seed) == parts


@settings(deadline=None, max_examples=50)
@given(st.booleans().flatmap(corpora), fractions, st.integers(0, 9))
def test_order_takes_the_last_of_each_speaker(corpus: Utterances, fraction: float, seed: int) -> None:
    parts = split(corpus, "order", fraction, seed)
    for indices in indices_by_speaker(corpus):
        valid = [index for index in indices if index in parts.valid]
        assert indices[-len(valid) :] == valid
        assert abs(len(valid) - fraction * len(indices)) <= 1
    assert split(corpus, "order", fraction, seed + 1) == parts


@settings(deadline=None, max_examples=50)
@given(st.booleans().flatmap(corpora), fractions, st.integers(0, 9))
def test_random_takes_the_same_share(corpus: Utterances, fraction: float, seed: int) -> None:
    parts, order = split(corpus, "random", fraction, seed), split(corpus, "order", fraction, seed)
    for indices in indices_by_speaker(corpus):
        assert len(set(indices) & set(parts.valid)) == len(set(indices) & set(order.valid))


def test_random_takes_any_and_others_for_another_seed() -> None:
    corpus = utterances(*[("a", None)] * 20, *[("b", None)] * 20)
    found = [split(corpus, "random", 0.1, seed).valid for seed in range(40)]
    assert len({tuple(valid) for valid in found}) > 30
    assert len({index for valid in found for index in valid}) > 30
    # Speakers are drawn separately: the indices within a speaker are not the same for all of them.
    assert any([index - 20 for index in valid[2:]] != valid[:2] for valid in found)


@settings(deadline=None, max_examples=50)
@given(corpora(known=True), fractions, st.integers(0, 9))
def test_sessions_are_never_on_both_sides(corpus: Utterances, fraction: float, seed: int) -> None:
    parts = split(corpus, "session", fraction, seed)
    assert not sessions(corpus, parts.train) & sessions(corpus, parts.valid)
    for indices in indices_by_speaker(corpus):
        # In order of first occurrence, the validation sessions are the last ones.
        order = list(dict.fromkeys(corpus[index].session for index in indices))
        held_out = {corpus[index].session for index in indices if index in parts.valid}
        assert set(order[-len(held_out) :]) == held_out
    assert split(corpus, "session", fraction, seed + 1) == parts
    assert split(corpus, "auto", fraction, seed) == parts


@pytest.mark.parametrize(
    ("fraction", "valid"),
    [(0.01, [7]), (0.1, [7]), (0.4, [6, 7]), (0.5, [3, 4, 5, 6, 7]), (0.75, [3, 4, 5, 6, 7]), (0.99, [3, 4, 5, 6, 7])],
)
def test_number_of_sessions_is_close_to_the_fraction(fraction: float, valid: list[int]) -> None:
    corpus = utterances(*[("a", session) for session in ("1", "1", "1", "2", "2", "2", "3", "4")])
    assert split(corpus, "session", fraction, 0).valid == valid


def test_sessions_of_the_same_name_belong_to_their_speakers() -> None:
    corpus = utterances(("a", "1"), ("a", "2"), ("b", "2"), ("b", "1"))
    assert split(corpus, "session", 0.5, 0) == Split([0, 2], [1, 3], split(corpus, "auto", 0.5, 0).how)


@pytest.mark.parametrize(
    "speaker_b", [[("b", "1"), ("b", "1")], [("b", None), ("b", None)], [("b", "1"), ("b", "2"), ("b", None)]]
)
def test_speaker_without_sessions_is_split_by_order_and_the_others_by_session(
    speaker_b: list[tuple[str, str | None]],
) -> None:
    corpus = utterances(("a", "1"), ("a", "2"), ("a", "2"), *speaker_b)
    parts = split(corpus, "auto", 0.1, 0)
    assert parts.valid == [1, 2, len(corpus) - 1]
    assert parts.how.startswith("whole sessions of 1 speakers; the last utterances")
    expected = r"^data\.split: speaker b does not have two known sessions; use data\.split=auto or order$"
    with pytest.raises(UserError, match=expected):
        split(corpus, "session", 0.1, 0)


def test_each_way_is_described() -> None:
    corpus = utterances(("a", "1"), ("a", "2"))
    said = {by: split(corpus, by, 0.1, 0).how for by in EVERY}
    assert said["auto"] == said["session"]
    assert "whole sessions" in said["session"]
    assert "last utterances" in said["order"]
    assert "at random" in said["random"]


@settings(deadline=None, max_examples=50)
@given(st.booleans().flatmap(corpora), st.sampled_from(["auto", "order", "random"]), fractions, st.data())
def test_copies_are_used_for_training_only_if_their_original_is(
    corpus: Utterances, by: By, fraction: float, data: st.DataObject
) -> None:
    copied = data.draw(st.lists(st.integers(0, len(corpus) - 1), max_size=8))
    copies = [
        replace(corpus[row], feature_path=f"copy-{n}.pt", copy_of=corpus[row].feature_path)
        for n, row in enumerate(copied)
    ]
    with_copies = Utterances.of([*corpus, *copies])
    plain, parts = split(corpus, by, fraction, 0), split(with_copies, by, fraction, 0)
    assert parts.valid == plain.valid
    held_out = set(plain.valid)
    assert parts.train == plain.train + [len(corpus) + n for n, row in enumerate(copied) if row not in held_out]


@pytest.mark.parametrize(("keep", "of_whole_sessions"), [(1, 1), (2, 2), (3, 4)])
def test_the_number_to_keep_is_never_held_out(keep: int, of_whole_sessions: int) -> None:
    corpus = utterances(*[("a", session) for session in "1233"], *[("b", None)] * 4, *[("c", None)] * keep)
    parts = split(corpus, "auto", 0.99, 0, keep)
    kept = [sum(corpus[row].speaker == name for row in parts.train) for name in "abc"]
    assert kept == [of_whole_sessions, keep, keep]


@settings(deadline=None, max_examples=80)
@given(
    st.booleans().flatmap(corpora), st.sampled_from(["auto", "order", "random"]), st.integers(2, 5), st.integers(0, 9)
)
def test_every_utterance_is_held_out_in_at_most_one_fold(corpus: Utterances, by: By, count: int, seed: int) -> None:
    parts = folds(corpus, count, by, seed)
    assert len(parts) in (0, *range(2, count + 1))
    assert all(part.valid for part in parts)
    held_out = [index for part in parts for index in part.valid]
    assert len(held_out) == len(set(held_out))
    for part in parts:
        assert sorted(part.train + part.valid) == list(range(len(corpus)))
        for indices in indices_by_speaker(corpus):
            assert set(indices) & set(part.train)
    assert folds(corpus, count, by, seed) == parts


@settings(deadline=None, max_examples=60)
@given(corpora(known=True), st.integers(2, 5))
def test_no_fold_trains_on_a_session_that_it_holds_out(corpus: Utterances, count: int) -> None:
    for part in folds(corpus, count):
        assert not sessions(corpus, part.valid) & sessions(corpus, part.train)


def test_everything_is_held_out_once_if_sessions_allow_it() -> None:
    corpus = utterances(*[(speaker, str(day)) for speaker in "abc" for day in range(4) for _ in range(5)])
    parts = folds(corpus, 2)
    assert sorted(index for part in parts for index in part.valid) == list(range(60))
    assert [len(part.valid) for part in parts] == [30, 30]
    assert parts[0].how == "2 folds; whole sessions, so no recording occasion is on both sides"


def test_an_occasion_shared_by_speakers_is_held_out_for_all_of_them() -> None:
    meetings = {"mon": "ab", "tue": "bc", "wed": "ca", "thu": "abc", "fri": "abc"}
    corpus = utterances(*[(speaker, day) for day, speakers in meetings.items() for speaker in speakers])
    for part in folds(corpus, 3):
        assert not {corpus[index].session for index in part.valid} & {corpus[index].session for index in part.train}


def test_a_speaker_keeps_training_utterances_if_occasions_are_shared_unevenly() -> None:
    corpus = utterances(("a", "1"), ("a", "2"), ("b", "3"), ("b", "2"), ("c", "1"), ("c", "3"))
    for part in folds(corpus, 2):
        assert {corpus[index].speaker for index in part.train} == set("abc")


def test_two_days_that_all_speakers_share_make_two_folds() -> None:
    corpus = utterances(*[(speaker, day) for speaker in "abc" for day in ("mon", "tue") for _ in range(5)])
    parts = folds(corpus, 3)
    held_out = [{corpus[index].session for index in part.valid} for part in parts]
    assert held_out in ([{"mon"}, {"tue"}], [{"tue"}, {"mon"}])
    assert parts[0].how.startswith("2 folds; whole sessions")


def test_one_utterance_per_speaker_gives_no_folds() -> None:
    assert folds(utterances(*[(speaker, None) for speaker in "abcdef"]), 3) == []


def test_a_single_utterance_trains_in_every_fold() -> None:
    corpus = utterances(("a", None), ("b", "1"), ("b", "2"))
    assert all(0 in part.train for part in folds(corpus, 3))


def test_company_trains_in_every_fold() -> None:
    corpus = utterances(*[(name, str(day)) for name in ("a", "b", "company/them/c") for day in range(4)])
    parts = folds(corpus, 2)
    assert all(set(range(8, 12)) <= set(part.train) for part in parts)
    assert sorted(index for part in parts for index in part.valid) == list(range(8))


def test_folds_by_session_need_two_sessions_of_every_speaker() -> None:
    with pytest.raises(UserError, match=r"speaker b does not have two known sessions"):
        folds(utterances(("a", "1"), ("a", "2"), ("b", "1"), ("b", "1")), 2, "session")


def test_copies_follow_their_origin_through_the_folds() -> None:
    rows = [Utterance(f"{k}.pt", 9, "ab"[k % 2], str(k // 2)) for k in range(8)]
    corpus = Utterances.of(
        [*rows, *(replace(row, feature_path=f"copy-{row.feature_path}", copy_of=row.feature_path) for row in rows)]
    )
    for part in folds(corpus, 2):
        assert {index + 8 for index in part.train if index < 8} == {index for index in part.train if index >= 8}
        assert max(part.valid) < 8
