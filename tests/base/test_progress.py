import re

import pytest

from speakerid.base.progress import Bar


def test_a_log_gets_one_plain_line_at_the_end(capfd: pytest.CaptureFixture[str]) -> None:
    with Bar("Prepare", "recordings", 3) as bar:
        bar.advance(1)
        assert capfd.readouterr() == ("", "")
        bar.advance(2)
    out, err = capfd.readouterr()
    assert out == ""
    assert re.fullmatch(r"Prepare: 100% 3/3 \[00:00<\S+ +\S+ recordings/s\]\n", err)


def test_a_log_gets_nothing_of_work_that_failed(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with Bar("Prepare", "recordings", 3) as bar:
            bar.advance()
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    assert capfd.readouterr() == ("", "")


def test_a_terminal_gets_a_bar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with Bar("Prepare", "recordings", 3) as bar:
        bar.advance(3)
    err = capsys.readouterr().err
    assert "Prepare: 100% 3/3" in err
    assert "\r" in err


def test_a_log_of_long_work_gets_a_line_every_minute(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("speakerid.base.progress.LINE_SECONDS", 0.0)
    with Bar("Prepare", "recordings", 3) as bar:
        bar.advance()
        bar.advance(2)
    lines = capfd.readouterr().err.splitlines()
    assert [line[: line.index(" [")] for line in lines] == ["Prepare:  33% 1/3", "Prepare: 100% 3/3"]
