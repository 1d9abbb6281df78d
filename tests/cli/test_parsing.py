"""Command lines as users type them."""

import argparse

import pytest

from speakerid import cli
from speakerid.cli import run


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> dict[str, argparse.Namespace]:
    """Collect the parsed options of commands, which are not run."""
    found: dict[str, argparse.Namespace] = {}

    def note(name: str, options: argparse.Namespace) -> int:
        found[name] = options
        return 0

    for name, module in cli.COMMANDS.items():
        monkeypatch.setattr(module, "run", lambda options, name=name: note(name, options))
    return found


@pytest.mark.parametrize(
    "line",
    [
        "--config f a=1 --quiet b=2",
        "a=1 --config f b=2 --quiet",
        "a=1 b=2 --quiet --config f",
        "--quiet --config f a=1 b=2",
        "a=1 --config=f -- b=2 --quiet=x",
    ],
)
def test_settings_may_be_before_and_after_an_option(line: str, parsed: dict[str, argparse.Namespace]) -> None:
    assert run(["train", *line.split()]) == 0
    assert parsed["train"].overrides[:2] == ["a=1", "b=2"]
    assert str(parsed["train"].config) == "f"
    assert parsed["train"].quiet == ("--" not in line.split())


@pytest.mark.parametrize(
    ("line", "name", "expected"),
    [
        ("identify b one.wav --json two.wav", "recordings", ["one.wav", "two.wav"]),
        ("identify b --top 2 one.wav --csv -- -two.wav", "recordings", ["one.wav", "-two.wav"]),
        ("runs --json folder a --plot p.png b", "names", ["a", "b"]),
        ("enroll b Anna one.wav -- --two.wav", "recordings", ["one.wav", "--two.wav"]),
    ],
)
def test_files_may_be_before_and_after_an_option(
    line: str, name: str, expected: list[str], parsed: dict[str, argparse.Namespace]
) -> None:
    command, *arguments = line.split()
    assert run([command, *arguments]) == 0
    assert getattr(parsed[command], name) == expected


def test_one_positional_argument_may_be_left_out(parsed: dict[str, argparse.Namespace]) -> None:
    assert run(["prepare", "--download", "librispeech:dev-clean", "out", "--workers", "1"]) == 0
    assert (parsed["prepare"].source, str(parsed["prepare"].out)) == (None, "out")
    assert run(["evaluate", "b", "--seconds", "1", "2", "--json", "c"]) == 0
    assert (str(parsed["evaluate"].bundle), str(parsed["evaluate"].corpus)) == ("b", "c")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("identfy b a.wav", "unknown command 'identfy'; did you mean identify?"),
        ("zzz", "unknown command 'zzz'; expected one of prepare,"),
        ("identify b --fals-accepts 0.1 a.wav", "--fals-accepts; did you mean --false-accepts?"),
        ("train --config f --quite a=1", "unrecognized arguments: --quite; did you mean --quiet?"),
        ("infer --checkpoint a --data b", "the following arguments are required: --output"),
        ("check \x1b[31m extra", "unrecognized arguments: extra"),
        ("check a --b\x1b[31m", "--b\\x1b[31m"),
    ],
)
def test_a_mistyped_word_gives_a_suggestion(line: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        run(line.split())
    assert exit_info.value.code == 2
    *_, last = capsys.readouterr().err.splitlines()
    assert message in last
    assert last.isprintable()
