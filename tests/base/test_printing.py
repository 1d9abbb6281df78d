"""Formatting of names, messages and values."""

from hypothesis import given, settings
from hypothesis import strategies as st

from speakerid.base.printing import printable, short, visible

ANYTHING = st.text(st.characters(exclude_categories=()), max_size=20)


@settings(deadline=None)
@given(ANYTHING, ANYTHING)
def test_names_are_visible_and_never_confused(a: str, b: str) -> None:
    assert printable(a).isprintable()
    assert (printable(a) == printable(b)) == (a == b)


@settings(deadline=None)
@given(ANYTHING)
def test_messages_are_visible_and_may_be_quoted(text: str) -> None:
    assert visible(text).isprintable()
    assert visible(visible(text)) == visible(text)


def test_a_value_is_short() -> None:
    assert short(10**5000) == "a huge number"
    assert len(short(["x" * 1000] * 1000)) < 300
