"""The packed store as the only copy of the features: what is kept beside it, and what is computed again."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from speakerid.base.errors import UserError
from speakerid.corpus import store, store_writing
from speakerid.corpus.check import check_corpus, open_corpus
from speakerid.preparation import prepare as module
from speakerid.preparation import recording_features
from speakerid.preparation.prepare import Options, Prepared
from speakerid.preparation.stage import Stage

FRAME = 80
"""Bytes of a frame: 40 mel bands in float16."""


def record(path: Path, seed: int, seconds: float = 0.2) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * 16_000)), 16_000)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for speaker in range(3):
        for n in range(4):
            record(tmp_path / "recordings" / f"s{speaker}" / f"{n}.wav", seed=10 * speaker + n, seconds=0.2 + n / 100)
    return tmp_path / "recordings"


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the recordings whose features are computed."""
    names: list[str] = []
    compute = recording_features._compute

    def counted(job: recording_features.Job, *rest: Any) -> object:
        names.append(job.name)
        return compute(job, *rest)

    monkeypatch.setattr(recording_features, "_compute", counted)
    return names


def prepare(source: Path, out: Path, **options: Any) -> Prepared:
    return module.prepare(source, out, Options(**{"workers": 0, "test_fraction": 0.3, **options}))


def result(root: Path) -> dict[str, bytes]:
    """All files of the packed store."""
    return {path.name: path.read_bytes() for path in (root / "packed").iterdir()}


def stage_files(root: Path) -> list[tuple[str, int]]:
    """Suffixes and sizes of the files of the stage, apart from the lock."""
    return sorted((p.suffix, p.stat().st_size) for p in (root / "prepared").iterdir() if p.name != "lock")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_corpus_takes_little_more_than_its_frames(tmp_path: Path, workers: int) -> None:
    for n in range(16):
        record(tmp_path / "recordings" / f"s{n % 2}" / f"{n}.wav", seed=n, seconds=3)
    out = tmp_path / "out"
    prepare(tmp_path / "recordings", out, workers=workers)
    assert stage_files(out)[0] == (".frames", 0)
    assert len(stage_files(out)) == 2
    frames = sum(path.stat().st_size for path in (out / "packed").glob("*.frames"))
    assert frames == 16 * 301 * FRAME
    assert sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) < 1.15 * frames


def test_a_recording_without_use_is_not_computed_again(source: Path, tmp_path: Path, computed: list[str]) -> None:
    record(source / "alone" / "0.wav", seed=100)
    out = tmp_path / "out"
    prepare(source, out)
    assert stage_files(out)[0] == (".frames", 2 * 21 * FRAME)  # float32
    computed.clear()
    prepare(source, out)
    assert computed == []
    record(source / "alone" / "1.wav", seed=101)
    prepare(source, out)
    assert computed == ["alone/1.wav"]
    assert stage_files(out)[0] == (".frames", 0)
    prepare(source, tmp_path / "fresh")
    assert result(out) == result(tmp_path / "fresh")


def test_a_recording_that_loses_its_use_may_be_computed_again(source: Path, tmp_path: Path) -> None:
    record(source / "alone" / "0.wav", seed=100)
    record(source / "alone" / "1.wav", seed=101)
    out = tmp_path / "out"
    prepare(source, out)
    (source / "alone" / "1.wav").unlink()
    for _ in range(3):
        prepare(source, out)
    record(source / "alone" / "2.wav", seed=102)
    prepare(source, out)
    prepare(source, tmp_path / "fresh")
    assert result(out) == result(tmp_path / "fresh")


@pytest.mark.parametrize("layout_out", ["packed", "hw4", "both"])
def test_nothing_is_left_of_removed_recordings(source: Path, tmp_path: Path, layout_out: str) -> None:
    out = tmp_path / "out"
    prepare(source, out, layout_out=layout_out)
    assert any(b"s1/0.wav" in path.read_bytes() for path in (out / "prepared").glob("*.npz"))
    shutil.rmtree(source / "s1")
    prepare(source, out, layout_out=layout_out)
    prepare(source, tmp_path / "fresh", layout_out=layout_out)
    assert stage_files(out) == stage_files(tmp_path / "fresh")
    assert not any(b"s1/" in path.read_bytes() for path in out.rglob("*") if path.is_file())


def test_equal_recordings_are_not_computed_again(source: Path, tmp_path: Path, computed: list[str]) -> None:
    shutil.copy(source / "s0" / "0.wav", source / "s1" / "copy.wav")
    prepare(source, tmp_path / "out")
    before = result(tmp_path / "out")
    computed.clear()
    for _ in range(2):
        prepare(source, tmp_path / "out")
    assert computed == []
    assert result(tmp_path / "out") == before


def test_only_the_utterances_of_a_damaged_block_are_computed_again(
    source: Path,
    tmp_path: Path,
    computed: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for writer in (store, store_writing):
        monkeypatch.setattr(writer, "BLOCK", 20 * FRAME)
    out = tmp_path / "out"
    prepare(source, out)
    before = result(out)
    (path,) = (out / "packed").glob("labelled-*.frames")
    content = bytearray(path.read_bytes())
    content[0] ^= 0x40
    path.write_bytes(content)
    computed.clear()
    prepare(source, out)
    assert computed == ["s0/0.wav"]
    assert "labelled.json: 1 utterances are damaged; they are computed again\n" in capsys.readouterr().err
    assert result(out) == before


@pytest.mark.parametrize(
    "damage", [Path.unlink, lambda path: path.write_bytes(b""), lambda path: path.write_bytes(path.read_bytes()[:-9])]
)
def test_damaged_measurements_are_made_again(
    source: Path, tmp_path: Path, computed: list[str], damage: Callable[[Path], None]
) -> None:
    prepare(source, tmp_path / "out")
    before = result(tmp_path / "out")
    (path,) = (tmp_path / "out" / "prepared").glob("*.npz")
    damage(path)
    computed.clear()
    prepare(source, tmp_path / "out")
    assert len(computed) == 12
    assert result(tmp_path / "out") == before
    assert [suffix for suffix, _ in stage_files(tmp_path / "out")] == [".frames", ".npz"]


def test_store_without_its_stage_is_refused_nowhere(source: Path, tmp_path: Path) -> None:
    prepare(source, tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / "prepared")
    assert len(open_corpus(tmp_path / "out")[1]) + len(open_corpus(tmp_path / "out", "test")[1]) == 12


@pytest.mark.parametrize("layout_out", ["packed", "hw4", "both"])
def test_corpus_of_an_earlier_version_is_converted(
    source: Path, tmp_path: Path, computed: list[str], monkeypatch: pytest.MonkeyPatch, layout_out: str
) -> None:
    """Earlier versions kept all frames in the stage; a kill in front of its last step leaves the same."""
    with monkeypatch.context() as patch:
        patch.setattr(Stage, "keep_only", lambda *_: None)
        prepare(source, tmp_path / "out", layout_out=layout_out)
    assert sum(size for suffix, size in stage_files(tmp_path / "out") if suffix == ".frames") > 10_000
    computed.clear()
    for _ in range(2):
        prepare(source, tmp_path / "out")
    assert computed == []
    assert stage_files(tmp_path / "out")[0] == (".frames", 0)
    prepare(source, tmp_path / "fresh")
    assert result(tmp_path / "out") == result(tmp_path / "fresh")


def test_the_only_copy_is_never_less_precise_than_asked_for(source: Path, tmp_path: Path, computed: list[str]) -> None:
    wanted = [{}, {"dtype": "float32"}, {}, {"layout_out": "hw4"}, {"layout_out": "both"}, {}, {"dtype": "float32"}]
    times = [12, 12, 0, 12, 0, 0, 12]
    for options, count in zip(wanted, times, strict=True):
        computed.clear()
        prepare(source, tmp_path / "out", **options)
        assert len(computed) == count
        prepare(source, tmp_path / "fresh", **options)
        if options.get("layout_out") != "both":  # checksums of modification times
            names = [path.relative_to(tmp_path / "fresh") for path in (tmp_path / "fresh").rglob("*")]
            for name in names:
                if (tmp_path / "fresh" / name).is_file() and name.parts[0] != "prepared":
                    assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "fresh" / name).read_bytes()
        shutil.rmtree(tmp_path / "fresh")


def test_a_prepared_corpus_is_no_source_of_recordings(source: Path, tmp_path: Path) -> None:
    """Its table names the test recordings, too, which would become training data."""
    prepare(source, tmp_path / "out")
    with pytest.raises(UserError, match=r"found a corpus that was prepared, expected recordings; .* --layout"):
        prepare(tmp_path / "out", tmp_path / "again")
    assert len(prepare(tmp_path / "out", tmp_path / "again", layout="table").corpus.labelled) > 0


@pytest.mark.parametrize("read", [open_corpus, check_corpus])
def test_without_the_store_the_command_that_writes_it_is_named(
    source: Path, tmp_path: Path, read: Callable[[Path], object]
) -> None:
    prepare(source, tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / "packed")
    with pytest.raises(UserError, match="run the same `prepare` again"):
        read(tmp_path / "out")


def test_removing_hw4_files_is_said(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare(source, tmp_path / "out", layout_out="both")
    assert "HW4 files" not in capsys.readouterr().out
    prepare(source, tmp_path / "out")
    assert "HW4 files of the former preparation are removed; --layout-out both" in capsys.readouterr().out
