"""Preparation that is interrupted, killed, or called again after the recordings have changed."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from speakerid.base.errors import UserError
from speakerid.cli import run
from speakerid.config import FeatureConfig
from speakerid.corpus.check import check_corpus, open_corpus
from speakerid.preparation import prepare as module
from speakerid.preparation import recording_features, stage
from speakerid.preparation.prepare import Options, Prepared

KILLS = 50
TIMES = re.compile(rb'"(source|corpus|checksum)":"[0-9a-f]+"')


def record(path: Path, seed: int, seconds: float = 0.15) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * 16_000)), 16_000)


def record_all(source: Path, speakers: int = 3, each: int = 4) -> None:
    for speaker in range(speakers):
        for n in range(each):
            record(source / f"s{speaker}" / f"day{n // 2}" / f"{n}.wav", seed=100 * speaker + n, seconds=0.1 + n / 100)
    (source / "s0" / "broken.wav").write_bytes(b"RIFF")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    record_all(tmp_path / "recordings")
    return tmp_path / "recordings"


def prepare(source: Path, out: Path, **options: object) -> Prepared:
    return module.prepare(source, out, Options(**{"workers": 0, "test_fraction": 0.3, **options}))  # type: ignore[arg-type]


def result(root: Path) -> dict[str, bytes]:
    """Everything except the stage and what depends on modification times of the files in the store."""
    found = {
        path.relative_to(root).as_posix(): TIMES.sub(b"", path.read_bytes())
        for path in root.rglob("*")
        if path.is_file()
    }
    return {name: content for name, content in found.items() if not name.startswith(("prepared/", "packed/lock"))}


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the recordings whose features are computed."""
    names: list[str] = []
    compute = recording_features._compute

    def counted(job: recording_features.Job, *arguments: str, **others: object) -> object:
        names.append(job.name)
        return compute(job, *arguments, **others)  # type: ignore[arg-type]

    monkeypatch.setattr(recording_features, "_compute", counted)
    return names


def test_a_second_call_computes_and_changes_nothing(source: Path, tmp_path: Path, computed: list[str]) -> None:
    first = prepare(source, tmp_path / "out")
    before = result(tmp_path / "out")
    assert len(computed) == 13  # the broken one is tried
    computed.clear()
    second = prepare(source, tmp_path / "out")
    assert computed == ["s0/broken.wav"]
    assert result(tmp_path / "out") == before
    assert second.corpus == first.corpus
    assert second.skipped == first.skipped


def add(source: Path) -> list[str]:
    record(source / "s1" / "day1" / "new.wav", seed=1_000)
    record_all(source.with_name("more"), speakers=4)
    shutil.copytree(source.with_name("more") / "s3", source / "s3")
    return ["s1/day1/new.wav", *(f"s3/day{n // 2}/{n}.wav" for n in range(4))]


def change(source: Path) -> list[str]:
    """Change the content, but not the size or the time."""
    path = source / "s2" / "day0" / "1.wav"
    before = path.stat()
    record(path, seed=1_000, seconds=0.11)
    assert path.stat().st_size == before.st_size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    return ["s2/day0/1.wav"]


def remove(source: Path) -> list[str]:
    (source / "s2" / "day0" / "1.wav").unlink()
    shutil.rmtree(source / "s1")
    return []


def mend(source: Path) -> list[str]:
    record(source / "s0" / "broken.wav", seed=1_000)
    return []  # it is tried every time


@pytest.mark.parametrize("edit", [add, change, remove, mend], ids=lambda edit: edit.__name__)
@pytest.mark.parametrize("layout_out", ["hw4", "packed", "both"])
def test_result_depends_only_on_the_current_recordings(
    source: Path,
    tmp_path: Path,
    computed: list[str],
    edit: Callable[[Path], list[str]],
    layout_out: str,
) -> None:
    options = {"layout_out": layout_out}
    prepare(source, tmp_path / "out", **options)
    expected = edit(source)
    computed.clear()
    prepare(source, tmp_path / "out", **options)
    assert sorted(name for name in computed if "broken" not in name) == sorted(expected)
    prepare(source, tmp_path / "fresh", **options)
    assert result(tmp_path / "out") == result(tmp_path / "fresh")
    check_corpus(tmp_path / "out")


def test_another_form_of_the_corpus_replaces_the_old_one(source: Path, tmp_path: Path, computed: list[str]) -> None:
    for layout_out, others in (
        ("both", {}),
        ("packed", {}),
        ("hw4", {"test_fraction": 0.5}),
        ("both", {"strangers": 1}),
    ):
        computed.clear()
        prepare(source, tmp_path / "out", layout_out=layout_out, **others)
        assert len(computed) in (13, 1)
        prepare(source, tmp_path / layout_out, layout_out=layout_out, **others)
        assert result(tmp_path / "out") == result(tmp_path / layout_out)
        shutil.rmtree(tmp_path / layout_out)


@pytest.mark.parametrize("pattern", ["labelled-*.frames", "labelled-*.index", "labelled-*.names", "labelled.json"])
def test_damaged_store_is_rebuilt(source: Path, tmp_path: Path, computed: list[str], pattern: str) -> None:
    labelled = prepare(source, tmp_path / "out", layout_out="packed").corpus.labelled
    before = result(tmp_path / "out")
    (path,) = (tmp_path / "out" / "packed").glob(pattern)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match="to rebuild the store"):
        open_corpus(tmp_path / "out")
    computed.clear()
    prepare(source, tmp_path / "out", layout_out="packed")
    assert len(computed) == 1 + len(labelled)  # the broken one is tried
    assert result(tmp_path / "out") == before


@pytest.mark.parametrize("layout_out", ["hw4", "packed", "both"])
def test_other_features_in_the_same_folder_are_refused(source: Path, tmp_path: Path, layout_out: str) -> None:
    prepare(source, tmp_path / "out", layout_out=layout_out)
    before = result(tmp_path / "out")
    with pytest.raises(
        UserError, match=r"features\.yaml: found n_mels 40, asked for 80; choose another folder or delete"
    ):
        prepare(source, tmp_path / "out", layout_out=layout_out, features=FeatureConfig(n_mels=80))
    assert result(tmp_path / "out") == before


def test_folder_with_other_content_is_not_touched(source: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("mine")
    with pytest.raises(UserError, match="already exists; choose another folder or delete this one first"):
        prepare(source, tmp_path / "out")
    assert result(tmp_path / "out") == {"thesis.tex": b"mine"}


@pytest.mark.parametrize("layout_out", ["hw4", "packed", "both"])
def test_stage_may_be_deleted(source: Path, tmp_path: Path, computed: list[str], layout_out: str) -> None:
    prepare(source, tmp_path / "out", layout_out=layout_out)
    before = result(tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / "prepared")
    computed.clear()
    prepare(source, tmp_path / "out", layout_out=layout_out)
    assert len(computed) == 13
    assert result(tmp_path / "out") == before


def test_table_of_recordings_with_other_columns_is_not_touched(source: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "recordings.csv").write_text("path,speaker\nmine.wav,me\n")
    with pytest.raises(UserError, match="already exists; choose another folder or delete this one first"):
        prepare(source, tmp_path / "out")
    assert list(result(tmp_path / "out")) == ["recordings.csv"]


def test_equal_recordings_are_found_again_under_each_name(source: Path, tmp_path: Path, computed: list[str]) -> None:
    shutil.copy(source / "s0" / "day0" / "0.wav", source / "s1" / "day0" / "copy.wav")
    prepare(source, tmp_path / "out")
    computed.clear()
    prepare(source, tmp_path / "out")
    assert computed == ["s0/broken.wav"]
    corpus, store = open_corpus(tmp_path / "out")
    assert len(corpus.labelled) + len(corpus.test) == 13
    assert len(set(corpus.labelled.names)) == len(store)


def test_two_at_a_time_are_refused(source: Path, tmp_path: Path) -> None:
    prepare(source, tmp_path / "out")
    holder = "import fcntl, sys, time; f = open(sys.argv[1]); fcntl.flock(f, 2); print(flush=True); time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", holder, tmp_path / "out" / "prepared" / "lock"], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        process.stdout.readline()
        try:
            with pytest.raises(UserError, match="another process is using this folder; wait until it has ended"):
                prepare(source, tmp_path / "out")
        finally:
            process.kill()
    prepare(source, tmp_path / "out")


def halve(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x40
    path.write_bytes(content)


@pytest.mark.parametrize("ending", ["npz", "frames"])
@pytest.mark.parametrize("damage", [halve, flip_a_bit, lambda path: path.write_bytes(b""), Path.unlink])
def test_damage_to_the_stage_is_reported_and_computed_again(
    source: Path,
    tmp_path: Path,
    computed: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ending: str,
    damage: Callable[[Path], None],
) -> None:
    monkeypatch.setattr(stage, "SHARD", 5)
    prepare(source, tmp_path / "out", layout_out="hw4")
    before = result(tmp_path / "out")
    damaged = sorted((tmp_path / "out" / "prepared").glob(f"*.{ending}"))[0]
    damage(damaged)
    computed.clear()
    capsys.readouterr()
    prepare(source, tmp_path / "out", layout_out="hw4")
    assert 3 <= len(computed) - 1 <= 5
    assert result(tmp_path / "out") == before
    said = f"prepared: 1 of 3 files are damaged, including {damaged.stem}; their content is computed again\n"
    assert (said in capsys.readouterr().err) == damaged.with_suffix(".npz").exists() or ending == "npz"
    computed.clear()
    prepare(source, tmp_path / "out", layout_out="hw4")
    assert computed == ["s0/broken.wav"]


def test_stage_of_an_earlier_version_is_used(source: Path, tmp_path: Path, computed: list[str]) -> None:
    prepare(source, tmp_path / "out")
    for path in (tmp_path / "out" / "prepared").glob("*.npz"):
        path.with_suffix(".frames").rename(path.with_name(f"{path.stem[:32]}.frames"))
        with np.load(path) as file:
            np.savez(path.with_name(path.name[:32]), **{n: file[n] for n in file.files if n != "frames_digest"})
        path.unlink()
    computed.clear()
    prepare(source, tmp_path / "out")
    assert computed == ["s0/broken.wav"]


@pytest.mark.parametrize("damage", [halve, flip_a_bit, lambda path: path.write_bytes(b""), Path.unlink])
def test_damaged_feature_file_is_written_again(
    source: Path, tmp_path: Path, computed: list[str], damage: Callable[[Path], None]
) -> None:
    prepare(source, tmp_path / "out", layout_out="hw4")
    before = result(tmp_path / "out")
    damage(sorted((tmp_path / "out").glob("uttr-*.pt"))[2])
    computed.clear()
    prepare(source, tmp_path / "out", layout_out="hw4")
    assert computed == ["s0/broken.wav"]
    assert result(tmp_path / "out") == before


def test_recording_replaced_while_it_is_read(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = source / "s1" / "day0" / "1.wav"
    decode, left = recording_features.decode, iter(range(1))

    def replaced(name: Path, *arguments: Any, **others: Any) -> object:
        if name == path and next(left, None) is not None:
            record(path, seed=1_000)
        return decode(name, *arguments, **others)

    monkeypatch.setattr(recording_features, "decode", replaced)
    prepare(source, tmp_path / "out")
    prepare(source, tmp_path / "fresh")
    assert result(tmp_path / "out") == result(tmp_path / "fresh")
    left = iter(range(1_000))
    record(path, seed=2_000)

    def changing(name: Path, *arguments: Any, **others: Any) -> object:
        if name == path:
            record(path, seed=next(left))
        return decode(name, *arguments, **others)

    monkeypatch.setattr(recording_features, "decode", changing)
    assert "s1/day0/1.wav: changes while it is read; prepare again when it is complete" in (
        prepare(source, tmp_path / "out").skipped
    )


FAULTS = """
import os, signal, sys, time

def fault(event, arguments):
    if event == "open" and str(arguments[0]).endswith("killer.wav"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if event == "open" and str(arguments[0]).endswith("large.wav"):
        raise MemoryError
    if event == "open" and str(arguments[0]).endswith("larger.wav"):
        os.kill(os.getpid(), signal.SIGKILL)
    if event == "open" and str(arguments[0]).endswith("hanging.wav"):
        signal.setitimer(signal.ITIMER_REAL, 0.3)  # the patience of five minutes is over soon
        while True:
            time.sleep(1)

sys.addaudithook(fault)
"""


def test_recording_that_crashes_or_hangs_its_decoder_is_left_out(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(source, tmp_path / "sound")
    record(source / "s1" / "killer.wav", seed=0)
    record(source / "s2" / "hanging.wav", seed=1)
    (tmp_path / "faults").mkdir()
    (tmp_path / "faults" / "sitecustomize.py").write_text(FAULTS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "faults"))
    monkeypatch.setattr(stage, "SHARD", 2)
    prepared = prepare(source, tmp_path / "out", workers=2)
    assert prepared.skipped == [
        prepared.skipped[0],
        "s1/killer.wav: crashes or hangs its decoder; leave it out, or convert it",
        "s2/hanging.wav: crashes or hangs its decoder; leave it out, or convert it",
    ]
    assert prepared.skipped[0].startswith("s0/broken.wav")
    mine = result(tmp_path / "out")
    assert mine == result(tmp_path / "sound")


def test_recording_without_enough_memory_is_left_out_and_changes_the_exit_status(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(source, tmp_path / "sound")
    for name in ("s1/large.wav", "s2/larger.wav"):
        record(source / name, seed=0)
    (tmp_path / "faults").mkdir()
    (tmp_path / "faults" / "sitecustomize.py").write_text(FAULTS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "faults"))
    command = ["prepare", str(source), str(tmp_path / "out"), "--test-fraction", "0.3", "--workers", "2"]
    monkeypatch.setattr("speakerid.cli.prepare._report", lambda *_: None)
    assert run(command) == 1
    *_, broken, large, larger, error = [
        line for line in capsys.readouterr().err.splitlines() if line.startswith(("left out", "error"))
    ]
    assert broken.startswith("left out: s0/broken.wav: ")
    assert large.startswith("left out: s1/large.wav: there is not enough memory for it; ")
    assert larger.startswith(
        "left out: s2/larger.wav: the system twice killed the process that read it (out of memory?); "
    )
    assert error.startswith("error: 2 recordings could not be processed because the system killed worker processes ")
    assert result(tmp_path / "out") == result(tmp_path / "sound")


@pytest.mark.parametrize(
    ("layout_out", "kills"),
    [
        ("packed", 8), ("both", 7),
        pytest.param("packed", KILLS // 2, marks=pytest.mark.nightly),
        pytest.param("both", KILLS // 2, marks=pytest.mark.nightly),
    ],
)  # fmt: skip
def test_after_a_kill_at_any_moment_the_result_is_the_same(
    source: Path, tmp_path: Path, layout_out: str, kills: int
) -> None:
    """SIGKILL leaves no chance to clean up; half of the kills are for each layout."""
    arguments = [str(source), str(tmp_path), layout_out, str(kills)]
    done = subprocess.run([sys.executable, __file__, *arguments], check=True, capture_output=True, text=True)
    killed, finished = map(int, done.stdout.split()[-2:])
    assert killed == kills
    assert finished >= 1


def torture(source: Path, folder: Path, layout_out: str, kills: int) -> None:
    """Prepare in forks of this process, kill them at random, and compare every result with an undisturbed one."""
    stage.SHARD = 1
    rng = random.Random(0)
    began = time.monotonic()
    _in_fork(source, folder / "expected", layout_out, None)
    duration = time.monotonic() - began
    expected = result(folder / "expected")
    killed = finished = 0
    while killed < kills:
        if _in_fork(source, folder / "out", layout_out, rng.uniform(0, duration)):
            killed += 1
        else:
            assert result(folder / "out") == expected
            finished += 1
            shutil.rmtree(folder / "out")
    _in_fork(source, folder / "out", layout_out, None)
    assert result(folder / "out") == expected
    print(killed, finished + 1)


def _in_fork(source: Path, out: Path, layout_out: str, kill_after: float | None) -> bool:
    """Whether it was killed before it had finished."""
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        prepare(source, out, layout_out=layout_out)
        os._exit(0)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), f"preparation failed: {status}"
    return status == signal.SIGKILL


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    torture(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
