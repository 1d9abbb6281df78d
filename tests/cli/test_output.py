"""Names and JSON in the output of commands."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speakerid.base.errors import CorpusError, UserError
from speakerid.cli import exit_with
from speakerid.cli.output import json_line

ANYTHING = st.text(st.characters(exclude_categories=()), max_size=20)


@settings(deadline=None)
@given(ANYTHING)
def test_json_is_lossless(name: str) -> None:
    line = json_line({"file": name})
    assert line.isprintable()
    assert json.loads(line.encode()) == {"file": name}


@pytest.mark.parametrize(
    ("error", "lines"),
    [
        (UserError("a\nb\x1b[31m\udce9.wav: no such file"), ["error: a\\nb\\x1b[31m\\udce9.wav: no such file"]),
        (
            CorpusError("a\nb", ["uttr\n1.pt: missing", "uttr\t2.pt: missing"]),
            ["error: a\\nb: 2 problems", "  uttr\\n1.pt: missing", "  uttr\\t2.pt: missing"],
        ),
    ],
)
def test_an_error_has_one_line_per_problem(
    error: UserError, lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> int:
        raise error

    with pytest.raises(SystemExit):
        exit_with(fail)
    assert capsys.readouterr().err.splitlines() == lines
