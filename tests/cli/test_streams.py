"""Standard streams that cannot be written, in separate processes."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
PRINTS = "from speakerid.cli import exit_with\nexit_with(lambda: print('an answer' * {count}) or 0)"


def shell(program: str, redirection: str) -> tuple[int, str]:
    """Exit status and standard error."""
    command = ["bash", "-c", f'"$0" -c "$1" {redirection}', sys.executable, program]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("redirection", "reason"),
    [
        ("> /dev/full", "No space left on device"),
        (">&-", "it is closed"),
        ("<&- >&-", "it is closed"),
        ("1< /dev/null", "Bad file descriptor"),
    ],
)
@pytest.mark.parametrize("count", [1, 10_000], ids=["at exit", "midway"])
def test_output_that_cannot_be_written_gives_one_line(redirection: str, reason: str, count: int) -> None:
    status, errors = shell(PRINTS.format(count=count), redirection)
    assert status == 2
    assert errors.startswith(f"error: standard output: cannot be written: {reason}")
    assert errors.count("\n") == 1


@pytest.mark.parametrize("redirection", ["2>&-", "2> /dev/full"])
def test_a_lost_error_stream_does_not_change_the_output(redirection: str) -> None:
    code = "import sys\nfrom speakerid.cli import exit_with\nexit_with(lambda: print('x', file=sys.stderr) or {status})"
    assert shell(code.format(status=0), redirection) == (0, "")
    assert shell(code.format(status=1), redirection) == (1, "")


def test_a_closed_reader_is_not_an_error() -> None:
    status, errors = shell(PRINTS.format(count=100_000), "| true; exit ${PIPESTATUS[0]}")
    assert (status, errors) == (1, "")


@pytest.mark.parametrize("script", ["check.py", "research/benchmark.py"])
def test_help_of_scripts_handles_lost_output(script: str) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, SCRIPTS / script, "--help"], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1


def test_a_file_never_becomes_a_closed_standard_stream(tmp_path: Path) -> None:
    code = (
        "import os\nfrom speakerid.cli import exit_with\n"
        f"exit_with(lambda: 0 if os.open({str(tmp_path / 'file')!r}, os.O_CREAT | os.O_WRONLY) > 2 else 1)"
    )
    assert shell(code, "<&- 2>&-") == (0, "")


def test_workers_have_standard_streams() -> None:
    child = "import sys; sys.exit(0 if sys.stdin and sys.stderr else 1)"
    code = (
        "import subprocess, sys\nfrom speakerid.cli import exit_with\n"
        f"exit_with(lambda: subprocess.run([sys.executable, '-c', {child!r}]).returncode)"
    )
    assert shell(code, "<&- 2>&-") == (0, "")


def test_unbuffered_stays_unbuffered() -> None:
    code = "import os\nfrom speakerid.cli import exit_with\nexit_with(lambda: print('an answer') or os._exit(3))"
    done = subprocess.run([sys.executable, "-u", "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (3, "an answer\n")


def test_a_message_at_exit_is_not_lost() -> None:
    program = "import sys\nfrom speakerid.cli import exit_with\nexit_with(lambda: sys.exit({end!r}))"
    assert shell(program.format(end="usage: so"), "") == (1, "usage: so\n")
    assert shell(program.format(end=None), "") == (0, "")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_every_name_can_be_printed_in_every_encoding(encoding: str) -> None:
    code = "print('Noé €', chr(0x1F600), chr(0xdce9))"
    program = f"from speakerid.cli import exit_with\nexit_with(lambda: {code} or 0)"
    environment = {"PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode(encoding).endswith("\\udce9\n")
