import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch

from corpora import disk, edited, make_read_only, write_corpus, write_json
from processes import FORKS
from speakerid.base.errors import CorpusError, UserError
from speakerid.base.locks import file_lock
from speakerid.corpus import feature_file, hw4
from speakerid.corpus.check import open_corpus
from speakerid.corpus.packing import packed_store
from speakerid.corpus.store import DType, FrameStore


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_corpus(tmp_path / "corpus", test=4)
    return tmp_path / "corpus"


def labelled_entries(root: Path) -> list[dict[str, Any]]:
    speakers = json.loads((root / "metadata.json").read_text())["speakers"]
    return [entry for entries in speakers.values() for entry in entries]


def check_store(root: Path, store: FrameStore, part: str = "labelled") -> None:
    """Check that the store has the content of a part's files, in the order of its JSON file."""
    if part == "labelled":
        entries = labelled_entries(root)
    else:
        entries = json.loads((root / "testdata.json").read_text())["utterances"]
    expected = [torch.load(root / entry["feature_path"], weights_only=True) for entry in entries]
    assert len(store) == len(expected)
    assert store.lengths.tolist() == [len(features) for features in expected]
    assert store.frames.dtype == np.float16
    assert torch.equal(torch.from_numpy(np.array(store.frames)).float(), torch.cat(expected))
    for index, features in enumerate(expected):
        assert torch.equal(store.utterance(index), features)


def forbid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if a feature file is read from now on."""

    def read(*_: object) -> None:
        raise AssertionError("a feature file was read")

    monkeypatch.setattr(feature_file, "load", read)


def test_frames_are_those_of_the_files(root: Path) -> None:
    check_store(root, open_corpus(root)[1])
    check_store(root, open_corpus(root, "test")[1], "test")
    check_store(root, open_corpus(root)[1])


def test_an_utterance_is_a_copy(root: Path) -> None:
    store = open_corpus(root)[1]
    store.utterance(0).zero_()
    check_store(root, store)
    check_store(root, open_corpus(root)[1])


def test_frames_stay_on_disk(root: Path) -> None:
    assert isinstance(open_corpus(root)[1].frames, np.memmap)


def test_second_opening_reads_no_feature_file_and_writes_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_corpus(root)
    before = {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in (root / "packed").iterdir()}
    assert {name.split("-")[0] for name in before} == {"labelled", "labelled.json", "lock"}
    assert {name.split(".")[-1] for name in before} == {"frames", "index", "names", "json", "lock"}
    with monkeypatch.context() as patch:
        forbid(patch)
        store = open_corpus(root)[1]
    check_store(root, store)
    after = {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in (root / "packed").iterdir()}
    assert after == before


def paths(root: Path) -> list[Path]:
    return [root / entry["feature_path"] for entry in labelled_entries(root)]


def write_other_values(root: Path) -> None:
    path = paths(root)[4]
    before = path.stat()
    torch.save(torch.load(path, weights_only=True) * 2, path)
    assert path.stat().st_size == before.st_size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000))


def write_other_size_at_the_same_time(root: Path) -> None:
    path = paths(root)[4]
    before = path.stat()
    shape = torch.load(path, weights_only=True).shape
    torch.save(torch.randn(100, *shape).half().float()[3], path)
    assert path.stat().st_size != before.st_size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def swap_two_files(root: Path) -> None:
    first, second = paths(root)[:2]
    with edited(root / "metadata.json") as metadata:
        entries = next(iter(metadata["speakers"].values()))
        entries[0]["mel_len"], entries[1]["mel_len"] = entries[1]["mel_len"], entries[0]["mel_len"]
    first.rename(root / "aside")
    second.rename(first)
    (root / "aside").rename(second)


def replace_by_an_older_file(root: Path) -> None:
    path = paths(root)[4]
    torch.save(torch.load(path, weights_only=True) * 2, root / "new")
    os.utime(root / "new", (1_000, 1_000))
    (root / "new").replace(path)


def add_an_utterance(root: Path) -> None:
    torch.save(torch.randn(7, 4).half().float(), root / "uttr-new.pt")
    with edited(root / "metadata.json") as metadata:
        next(iter(metadata["speakers"].values())).insert(1, {"feature_path": "uttr-new.pt", "mel_len": 7})


def remove_an_utterance(root: Path) -> None:
    paths(root)[0].unlink()
    with edited(root / "metadata.json") as metadata:
        del next(iter(metadata["speakers"].values()))[0]


def reorder_the_utterances(root: Path) -> None:
    with edited(root / "metadata.json") as metadata:
        next(iter(metadata["speakers"].values())).reverse()


@pytest.mark.parametrize(
    "change",
    [
        write_other_values,
        write_other_size_at_the_same_time,
        swap_two_files,
        replace_by_an_older_file,
        add_an_utterance,
        remove_an_utterance,
        reorder_the_utterances,
    ],
    ids=lambda change: change.__name__,
)
def test_a_change_is_noticed(root: Path, change: Callable[[Path], None]) -> None:
    store = open_corpus(root)[1]
    before = np.array(store.frames)
    change(root)
    changed = open_corpus(root)[1]
    check_store(root, changed)
    assert not np.array_equal(changed.frames, before)
    # Readers keep the old copy.
    assert np.array_equal(store.frames, before)


def test_a_missing_file_is_reported_although_packed(root: Path) -> None:
    open_corpus(root)
    gone = paths(root)[2]
    gone.unlink()
    with pytest.raises(CorpusError, match=f"{gone.name}: the file is missing"):
        open_corpus(root)


@pytest.mark.parametrize("name", ["labelled-*.frames", "labelled-*.index", "labelled-*.names", "labelled.json"])
@pytest.mark.parametrize("keep", [None, 0, 1, -1])
def test_a_damaged_packed_copy_is_made_again(root: Path, name: str, keep: int | None) -> None:
    open_corpus(root)
    (path,) = (root / "packed").glob(name)
    content = path.read_bytes()
    path.unlink() if keep is None else path.write_bytes(content[:keep])
    check_store(root, open_corpus(root)[1])
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", ["[]", "{}", "null", '{"fingerprint": 1, "bytes": "many"}', "\x00"])
def test_an_index_of_other_content_is_made_again(root: Path, content: str) -> None:
    open_corpus(root)
    (root / "packed" / "labelled.json").write_text(content)
    check_store(root, open_corpus(root)[1])


def test_chosen_folder_gets_the_copy_and_the_corpus_does_not_change(root: Path, tmp_path: Path) -> None:
    before = sorted(path.name for path in root.iterdir())
    folder = tmp_path / "new" / "packed"
    for part in ("labelled", "test"):
        check_store(root, open_corpus(root, part, folder)[1], part)
    assert sorted(path.name for path in root.iterdir()) == before
    endings = ["labelled.frames", "labelled.index", "labelled.json", "labelled.names"]
    endings += ["lock", *(ending.replace("labelled", "test") for ending in endings)]
    assert sorted(re.sub("-.*[.]", ".", path.name) for path in folder.iterdir()) == endings


def test_impossible_folder_is_reported(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"/file: cannot be written: File exists"):
        open_corpus(root, packed=tmp_path / "file")


def test_another_corpus_in_the_same_folder_is_packed_again(root: Path, tmp_path: Path) -> None:
    write_corpus(tmp_path / "other", seed=1)
    for corpus in (root, tmp_path / "other", root):
        check_store(corpus, open_corpus(corpus, packed=tmp_path / "packed")[1])


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder for temporary folders during a test."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_read_only_corpus_is_packed_for_this_run(
    root: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != root and access(path, mode))
    store = open_corpus(root)[1]
    assert not (root / "packed").exists()
    assert list(temporary.iterdir()) == []
    check_store(root, store)
    said, announced = capsys.readouterr().out.splitlines()
    assert said.startswith(f"{root} is read-only")
    assert "data.packed=FOLDER" in said
    assert announced.startswith("Packing 9 feature files")


def test_corpus_on_a_read_only_disk(root: Path, temporary: Path, tmp_path: Path) -> None:
    with disk(tmp_path / "disk", "1m") as folder:
        write_corpus(folder / "corpus")
        make_read_only(folder)
        check_store(folder / "corpus", open_corpus(folder / "corpus")[1])
        check_store(folder / "corpus", open_corpus(folder / "corpus", packed=tmp_path / "packed")[1])
    assert list(temporary.iterdir()) == []


def test_read_only_corpus_with_its_copy_is_only_read(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    open_corpus(root)
    capsys.readouterr()
    monkeypatch.setattr(os, "access", lambda *_: False)
    forbid(monkeypatch)
    assert len(open_corpus(root)[1]) == 9
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("packed_before", [False, True])
def test_failed_packing_leaves_no_part_of_a_file(root: Path, packed_before: bool) -> None:
    if packed_before:
        open_corpus(root)
    before = {path.name: path.read_bytes() for path in root.glob("packed/*")}
    paths(root)[-1].write_bytes(b"")
    with pytest.raises(CorpusError):
        open_corpus(root)
    assert {path.name: path.read_bytes() for path in root.glob("packed/*")} == before | {"lock": b""}


def test_interrupted_packing_leaves_no_part_of_a_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = feature_file.load

    def interrupted(path: Path, length: int, n_mels: int) -> torch.Tensor:
        if path == paths(root)[5]:
            raise KeyboardInterrupt
        return load(path, length, n_mels)

    with monkeypatch.context() as patch:
        patch.setattr(feature_file, "load", interrupted)
        with pytest.raises(KeyboardInterrupt):
            open_corpus(root)
    assert [path.name for path in (root / "packed").iterdir()] == ["lock"]
    check_store(root, open_corpus(root)[1])


def test_packing_on_a_full_disk_is_refused_in_one_line(tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus", frames=(2_000, 2_000))
    with disk(tmp_path / "disk") as folder:
        with pytest.raises(UserError, match=r"labelled-new\.frames: cannot be written: No space left on device"):
            open_corpus(tmp_path / "corpus", packed=folder / "packed")
        assert [path.name for path in (folder / "packed").iterdir()] == ["lock"]


def pack(root: Path, dtype: DType, barrier: Barrier) -> None:
    barrier.wait()
    open_corpus(root, dtype=dtype, quiet=True)


@pytest.mark.parametrize("dtypes", [("float16", "float16"), ("float16", "float32")])
def test_two_processes_pack_at_once(root: Path, dtypes: tuple[DType, DType]) -> None:
    for _ in range(5):
        barrier = FORKS.Barrier(2)
        pair = [FORKS.Process(target=pack, args=(root, dtype, barrier)) for dtype in dtypes]
        for process in pair:
            process.start()
        for process in pair:
            process.join()
        assert [process.exitcode for process in pair] == [0, 0]
        shutil.rmtree(root / "packed")


def test_waiting_for_another_process_is_reported(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "packed").mkdir()
    with file_lock(root / "packed" / "lock"):
        thread = Thread(target=open_corpus, args=(root,))
        thread.start()
        while "waiting for another process that packs the same corpus" not in capsys.readouterr().out:
            assert thread.is_alive()
    thread.join()
    assert (root / "packed" / "labelled.json").exists()


def test_leftovers_of_a_killed_packing_are_removed(root: Path) -> None:
    (root / "packed").mkdir()
    leftovers = [root / "packed" / name for name in (".labelled-new.frames.12ab.partial", "labelled-new.frames")]
    for path in leftovers:
        path.write_bytes(b"half")
    open_corpus(root)
    assert not any(path.exists() for path in leftovers)


def test_test_data_without_utterances(root: Path) -> None:
    write_json(root / "testdata.json", {"n_mels": 4, "utterances": []})
    assert len(open_corpus(root, "test")[1]) == 0


def test_a_tenth_of_the_hw4_data_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    count = 5_667
    speakers = [f"id{index:05}" for index in range(600)]
    metadata: dict[str, list[Any]] = {speaker: [] for speaker in speakers}
    # Not below tmp_path, because pytest keeps the last three.
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "empty").touch()
        for index in range(count):
            path = f"uttr-{index:032}.pt"
            os.link(root / "empty", f"{folder}/{path}")
            metadata[speakers[index % 600]].append({"feature_path": path, "mel_len": 1})
        write_json(root / "metadata.json", {"n_mels": 1, "speakers": metadata})
        ids = {speaker: index for index, speaker in enumerate(speakers)}
        write_json(
            root / "mapping.json", {"speaker2id": ids, "id2speaker": {str(ids[speaker]): speaker for speaker in ids}}
        )
        corpus, problems = hw4.read(root)
        assert problems == []
        numbers = torch.arange(count, dtype=torch.float32)[:, None] % 2_048
        with monkeypatch.context() as patch:
            # Reading this many tensors would take seconds; their number is in the name.
            patch.setattr(feature_file, "load", lambda path, *_: numbers[int(path.name[5:-3])][None])
            packed_store(corpus, "labelled")
        forbid(monkeypatch)
        store = packed_store(corpus, "labelled")
        assert len(corpus.labelled) == len(store) == count
        for index in (0, 94, 95, count - 1):
            assert store.utterance(index).item() == int(corpus.labelled[index].feature_path[5:-3]) % 2_048
