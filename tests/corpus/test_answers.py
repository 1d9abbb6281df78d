"""The submission format preserves any name."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from speakerid.corpus import answers
from speakerid.corpus.utterances import Utterance

NAME = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)


@settings(deadline=None)
@given(st.lists(st.tuples(NAME, NAME), min_size=1, max_size=5))
def test_written_answers_are_read_back(rows: list[tuple[str, str]]) -> None:
    utterances = [Utterance(name, 1) for name, _ in rows]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answers.csv"
        answers.write(path, utterances, [speaker for _, speaker in rows])
        assert [utterance.speaker for utterance in answers.read(path, utterances)] == [speaker for _, speaker in rows]
