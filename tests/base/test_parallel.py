"""Worker processes that die, and the jobs that are responsible."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from speakerid.base.errors import UserError
from speakerid.base.parallel import parallel_map
from working import die_at, fail, square

SQUARES = [number**2 for number in range(20)]


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_results_are_in_order(workers: int) -> None:
    assert list(parallel_map(square, range(20), "Square", "numbers", workers)) == SQUARES


@pytest.mark.parametrize(("workers", "kills"), [(1, 1), (3, 8)])
def test_jobs_whose_process_the_system_killed_are_retried(tmp_path: Path, workers: int, kills: int) -> None:
    jobs = [(number, tmp_path, "SIGKILL", kills) for number in range(20)]
    assert list(parallel_map(die_at, jobs, "Square", "numbers", workers)) == SQUARES
    assert len(list(tmp_path.iterdir())) >= kills


@pytest.mark.parametrize("how", ["SIGKILL", "SIGSEGV"])
def test_job_that_kills_its_process_twice_is_reported_with_the_signal(tmp_path: Path, how: str) -> None:
    jobs = [(number, tmp_path, how, 100 if number == 7 else 0) for number in range(20)]
    found = list(parallel_map(die_at, jobs, "Square", "numbers", 2, on_death=lambda job, code: 1_000 * job[0] - code))
    assert found == [*SQUARES[:7], 7_000 + getattr(signal, how), *SQUARES[8:]]
    assert len(list(tmp_path.iterdir())) == 2
    with pytest.raises(UserError, match=r"a worker process died twice in the same job, the second time alone"):
        list(parallel_map(die_at, jobs, "Square", "numbers", 2))


@pytest.mark.parametrize("kills", [3, 20])
def test_processes_killed_before_their_first_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kills: int) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\n"
        f"if '--multiprocessing-fork' in sys.argv and len(os.listdir({str(tmp_path / 'deaths')!r})) < {kills}:\n"
        f"    open(os.path.join({str(tmp_path / 'deaths')!r}, str(os.getpid())), 'w').close()\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    (tmp_path / "deaths").mkdir()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    results = parallel_map(square, range(20), "Square", "numbers", 2)
    if kills == 3:
        assert list(results) == SQUARES
    else:
        with pytest.raises(UserError, match="no worker process can start"):
            list(results)


def test_exception_of_a_job_ends_the_others() -> None:
    with pytest.raises(ValueError, match="found 3"):
        list(parallel_map(fail, range(20), "Fail", "numbers", 2))


def test_script_without_a_main_guard(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "from speakerid.base.parallel import parallel_map\nfrom math import sqrt\n"
        "print(list(parallel_map(sqrt, [4.0, 9.0], 'Root', 'numbers', 2)))"
    )
    command = [sys.executable, tmp_path / "script.py"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=100)
    assert done.stdout == "[2.0, 3.0]\n"


def test_process_that_cannot_start_is_a_one_line_error(tmp_path: Path) -> None:
    """A function of the main script needs the script, which would start processes itself."""
    (tmp_path / "script.py").write_text(
        "from speakerid.base.parallel import parallel_map\nfrom speakerid.base.errors import UserError\n"
        "def double(number): return 2 * number\n"
        "try: list(parallel_map(double, [4.0, 9.0], 'Double', 'numbers', 2))\nexcept UserError as error: print(error)"
    )
    command = [sys.executable, tmp_path / "script.py"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=100)
    assert done.stdout == (
        "no worker process can start (exit code 1); free memory and run it again; in a script, run it below "
        "`if __name__ == '__main__':`\n"
    )
