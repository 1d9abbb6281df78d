import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from speakerid.corpus.utterances import Utterance, Utterances
from speakerid.evaluation.trials import draw_pairs

said = st.tuples(st.sampled_from(["anna", "ben", "cleo", None]), st.sampled_from(["1", "2", None]))


@given(st.lists(said, max_size=20), st.integers(1, 10), st.integers(0, 9))
def test_pairs_are_balanced_across_sessions_and_those_of_the_seed(
    rows: list[tuple[str | None, str | None]], per_speaker: int, seed: int
) -> None:
    utterances = Utterances.of([Utterance(f"u{n}", 9, *row) for n, row in enumerate(rows)])
    pairs = draw_pairs(utterances, per_speaker, seed)
    trials = list(zip(pairs.enrolment.tolist(), pairs.test.tolist(), pairs.targets.tolist(), strict=True))
    assert len(set(trials)) == len(trials)
    enrolled: dict[str | None, list[bool]] = {}
    for a, b, target in trials:
        assert a != b
        assert None not in (rows[a][0], rows[b][0])
        assert target == (rows[a][0] == rows[b][0])
        enrolled.setdefault(rows[a][0], []).append(target)
        sessions = {session for speaker, session in rows if speaker == rows[a][0]} - {None}
        if target and len(sessions) == 2:
            assert {rows[a][1], rows[b][1]} == {"1", "2"}
    for targets in enrolled.values():
        assert sum(targets) * 2 == len(targets) <= 2 * per_speaker
    again = draw_pairs(utterances, per_speaker, seed)
    assert np.array_equal(pairs.enrolment, again.enrolment)
    assert np.array_equal(pairs.test, again.test)


def test_every_speaker_has_as_many_trials_as_were_asked_for() -> None:
    utterances = Utterances.of([Utterance(f"u{n}", 9, "abc"[n % 3], f"{n % 2}") for n in range(60)])
    pairs = draw_pairs(utterances, 30)
    assert np.bincount(utterances.speakers[pairs.enrolment]).tolist() == [60, 60, 60]
    assert draw_pairs(utterances, 30, seed=1).enrolment.tolist() != pairs.enrolment.tolist()


def test_copies_take_no_part() -> None:
    rows = [Utterance("a", 9, "anna"), Utterance("b", 9, "anna"), Utterance("c", 9, "ben")]
    copies = [Utterance(f"{row.feature_path} again", 9, row.speaker, copy_of=row.feature_path) for row in rows]
    pairs = draw_pairs(Utterances.of([*rows, *copies]), 10)
    assert max(*pairs.enrolment, *pairs.test) < 3
    assert pairs.targets.sum() == 1
