"""Install the extra `runtime` in a fresh environment, and measure its size and the time to the first answers.

  python scripts/research/runtime.py BUNDLE RECORDING

BUNDLE was made by `speakerid export SOURCE BUNDLE --to runtime`, or with --encoder. The environment is in a temporary
folder. Its size is that of its files without pip and setuptools, which venv puts there. A time is the median from the
start of the command to its end, beside that of this environment, which may have PyTorch.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).resolve().parents[2]
RUNS = 9
LARGEST = 250e6
"""Bytes."""
OF_VENV = ("pip", "setuptools", "pkg_resources", "_distutils_hack")
"""Beginnings of the names of what venv puts into an environment."""


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument("recording", type=Path, metavar="RECORDING")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        python = installed(Path(folder))
        size = sum(path.stat().st_size for path in files_of(Path(folder)))
        print(f"installed: {size / 1e6:.0f} MB in files, expected {LARGEST / 1e6:.0f} MB at most")
        command = ["identify", str(options.bundle), str(options.recording), "--json"]
        ours, mine = (measured([str(one), "-m", "speakerid", *command]) for one in (python, sys.executable))
        for name, (median, fastest, cpu, _) in {"without PyTorch": ours, "here": mine}.items():
            print(f"first answer {name}: {median:.2f} s, fastest {fastest:.2f} s, {cpu:.2f} s of CPU time")
        difference = abs(ours[3]["probability"] - mine[3]["probability"])
        print(f"answer: {ours[3]['name']} {ours[3]['probability']:.6f}; difference {difference:.1e}")
        return int(size > LARGEST or difference > 1e-4 or ours[3]["name"] != mine[3]["name"])


def installed(folder: Path) -> Path:
    """Python of a new environment in a folder, with the extra."""
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", f"{ROOT}[runtime]"], check=True)
    return python


def files_of(folder: Path) -> list[Path]:
    """Regular files in a folder that the extra brought."""
    found = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return [path for path in found if not any(part.startswith(OF_VENV) for part in path.relative_to(folder).parts)]


def measured(command: Sequence[str]) -> tuple[float, float, float, dict]:
    """Median and lowest duration of a command in seconds, mean CPU time, and its answer."""
    durations, answer = [], {}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(RUNS):
        began = perf_counter()
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        durations.append(perf_counter() - began)
        answer = json.loads(output.splitlines()[0])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / RUNS
    return statistics.median(durations), min(durations), cpu, answer


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
