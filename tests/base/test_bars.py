import re

import pytest

from speakerid.base.bars import bar


def test_a_log_gets_one_plain_line_at_the_end(capfd: pytest.CaptureFixture[str]) -> None:
    with bar(3, "Prepare", "recordings") as advance:
        advance(1)
        advance(2)
        assert capfd.readouterr() == ("", "")
    out, err = capfd.readouterr()
    assert out == ""
    assert re.fullmatch(r"Prepare: 3 recordings in \d+ s\n", err)


def test_a_log_gets_nothing_of_work_that_failed(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with bar(3, "Prepare", "recordings") as advance:
            advance(1)
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    assert capfd.readouterr() == ("", "")


def test_a_terminal_gets_a_bar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with bar(3, "Prepare", "recordings") as advance:
        advance(3)
    err = capsys.readouterr().err
    assert "Prepare: 100% 3/3" in err
    assert "\r" in err
