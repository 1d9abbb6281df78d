"""Prepare a corpus again with other options in a process that is killed before each change of a file."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from speakerid.base.errors import UserError
from speakerid.corpus.check import open_corpus
from speakerid.corpus.utterances import PARTS
from speakerid.preparation import prepare as module
from speakerid.preparation import recordings_table
from speakerid.preparation.prepare import Options

CALLS = ("replace", "rename", "unlink", "rmdir", "link")
UNFINISHED = "its preparation is unfinished; run the same `prepare` again to continue"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("packed", "hw4"),
        pytest.param("packed", "packed", marks=pytest.mark.nightly),
        pytest.param("hw4", "hw4", marks=pytest.mark.nightly),
        pytest.param("both", "packed", marks=pytest.mark.nightly),
    ],
)  # fmt: skip
def test_after_a_kill_at_any_change_the_corpus_is_old_new_or_unfinished(
    tmp_path: Path, before: str, after: str
) -> None:
    done = subprocess.run([sys.executable, __file__, tmp_path, before, after], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    kills, unfinished = map(int, done.stdout.split()[-2:])
    assert 1 <= unfinished < kills


def torture(folder: Path, before: str, after: str) -> None:
    """Kill before the first call that changes a file, the second, and so on, until one survives."""
    for speaker in range(3):
        for n in range(4):
            path = folder / "recordings" / f"s{speaker}" / f"{n}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            samples = 0.1 * np.random.default_rng([speaker, n]).standard_normal(2_000 + 100 * n)
            soundfile.write(path, samples, 16_000)
    assert _prepare(folder, "old", before, 0.25)
    shutil.copytree(folder / "old", folder / "new")
    assert _prepare(folder, "new", after, 0.5)
    old, new = _state(folder / "old"), _state(folder / "new")
    assert old != new
    kills = unfinished = 0
    while True:
        shutil.copytree(folder / "old", folder / "out")
        if _prepare(folder, "out", after, 0.5, kill_at=kills):
            break
        found = _state(folder / "out")
        unfinished += found == UNFINISHED
        assert found in (old, new, UNFINISHED), f"killed at {kills}: {found}"
        if kills % 4 == 0:
            assert _prepare(folder, "out", after, 0.5)
            assert _state(folder / "out") == new
        kills += 1
        shutil.rmtree(folder / "out")
    print(kills, unfinished)


def _state(root: Path) -> object:
    """The utterances of each part, with digests of their frames and recordings; or the error on opening."""
    found: dict[str, Any] = {}
    try:
        found["recordings"] = sorted(recordings_table.read(root))
        for part in PARTS[:2]:
            corpus, store = open_corpus(root, part, quiet=True)
            names = list(corpus.part(part).names)
            found[part] = {name: float(store.utterance(row).double().sum()) for row, name in enumerate(names)}
    except UserError as error:
        return str(error).removeprefix(f"{root}: ")
    assert not found["labelled"].keys() & found["test"].keys()
    return found


def _prepare(folder: Path, out: str, form: str, test_fraction: float, kill_at: int | None = None) -> bool:
    """Prepare in a fork of this process; whether it survived."""
    if not (child := os.fork()):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if kill_at is not None:
            left = iter(range(kill_at, -1, -1))
            for name in CALLS:
                setattr(os, name, _killing(getattr(os, name), left))
        options: dict[str, Any] = {"layout_out": form, "test_fraction": test_fraction}
        module.prepare(folder / "recordings", folder / out, Options(workers=0, **options))
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL), f"preparation failed: {status}"
    return status == 0


def _killing(function: Any, left: Any) -> Any:
    def killing(*arguments: Any, **named: Any) -> Any:
        if os.path.exists(arguments[0]) and next(left, -1) == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **named)

    return killing


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    torture(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
