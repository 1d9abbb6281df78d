import os
import socket
import stat
import subprocess
import sys
import threading
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path

import pytest
import torch

from corpora import disk, make_read_only
from speakerid.base.errors import UserError
from speakerid.base.files import atomic_file, atomic_folder, real_path, remove_partials
from speakerid.base.locks import file_lock
from speakerid.base.plain_data import load_plain, save_plain


def write(path: Path, text: str) -> None:
    with atomic_file(path) as partial:
        partial.write_text(text)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_file_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file.txt"
    for text in ("first", "second"):
        write(path, text)
        assert path.read_text() == text
    assert names(path.parent) == ["file.txt"]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit, MemoryError])
def test_failing_block_leaves_the_old_file_and_nothing_else(tmp_path: Path, failure: type[BaseException]) -> None:
    path = tmp_path / "file.txt"
    write(path, "old")
    with pytest.raises(failure), atomic_file(path) as partial:  # noqa: PT012
        partial.write_text("half of the n")
        raise failure
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


def test_user_error_of_the_block_passes_unchanged(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^mine$"), atomic_file(tmp_path / "file.txt"):
        raise UserError("mine")


def test_content_and_name_reach_the_disk_in_this_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a power failure could leave an empty file under the name."""
    path, done = tmp_path / "file.txt", []
    fsync, replace = os.fsync, os.replace

    def synced(handle: int) -> None:
        done.append("folder" if os.path.samestat(os.fstat(handle), tmp_path.stat()) else os.fstat(handle).st_size)
        fsync(handle)

    def renamed(source: Path, target: Path) -> None:
        done.append("name")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    write(path, "content")
    assert done == [len("content"), "name", "folder"]


def test_reader_sees_the_old_or_the_new_file_and_no_mixture(tmp_path: Path) -> None:
    path, size = tmp_path / "file.txt", 1 << 19
    write(path, "a" * size)
    done = threading.Event()
    seen: set[str] = set()

    def read() -> None:
        while not done.is_set():
            text = path.read_text()
            seen.add(text[:1] if text == text[:1] * size else f"torn after {len(text)}")

    reader = threading.Thread(target=read)
    reader.start()
    for letter, _ in zip(cycle("ba"), range(20), strict=False):
        write(path, letter * size)
    done.set()
    reader.join()
    assert seen
    assert seen <= {"a", "b"}


def test_a_reader_keeps_the_file_it_opened(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write(path, "old")
    with path.open() as file:
        write(path, "new")
        assert file.read() == "old"


@pytest.mark.parametrize("name", ["file/inside", "file/folder/inside"])
def test_file_below_a_file_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=rf"^{tmp_path / name}: cannot be written: "):
        write(tmp_path / name, "new")
    assert (tmp_path / "file").read_text() == "in the way"


def test_file_in_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=r"folder: cannot be written: Is a directory"):
        write(tmp_path / "folder", "new")
    assert names(tmp_path) == ["folder"]


def test_a_link_stays_and_the_file_behind_it_is_replaced(tmp_path: Path) -> None:
    target, link, absent = tmp_path / "folder" / "file", tmp_path / "link", tmp_path / "absent"
    write(target, "old")
    link.symlink_to("folder/file")
    absent.symlink_to("folder/new")
    for name in (link, absent):
        write(name, "new")
        assert name.is_symlink()
        assert name.read_text() == real_path(name).read_text() == "new"
    assert names(tmp_path / "folder") == ["file", "new"]
    assert names(tmp_path) == ["absent", "folder", "link"]


def test_a_circle_of_links_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("other")
    (tmp_path / "other").symlink_to("one")
    with pytest.raises(UserError, match=r"one: cannot be written: Too many levels of symbolic links"):
        write(tmp_path / "one", "new")


@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "link to a pipe"])
def test_only_regular_files_are_replaced_or_opened(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "out"
    if kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    elif kind == "device":
        path.symlink_to("/dev/null")
    else:
        os.mkfifo(tmp_path / "pipe")
        path.symlink_to("pipe") if kind == "link to a pipe" else (tmp_path / "pipe").rename(path)
    before = path.stat()
    with pytest.raises(
        UserError, match=r"out: found a [a-z ]+, expected a regular file or a new name; choose another$"
    ):
        write(path, "new")
    with pytest.raises(UserError, match=r"^found a [a-z ]+, expected a regular file$"):
        load_plain(path)
    assert os.path.samestat(before, path.stat())


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o666])
def test_mode_and_owner_of_a_replaced_file_stay(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "file"
    write(path, "old")
    path.chmod(mode)
    if os.getuid() == 0:
        os.chown(path, 12345, 54321)
    before = path.stat()
    with atomic_file(path) as partial:
        assert stat.S_IMODE(partial.stat().st_mode) & ~mode & 0o077 == 0
        partial.write_text("new")
    after = path.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert path.read_text() == "new"


def test_personal_data_are_for_their_owner_from_the_first_byte(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "bundle", mode=0o600) as partial:
        assert stat.S_IMODE(partial.stat().st_mode) == 0o600
        partial.write_text("voice prints")
    assert stat.S_IMODE((tmp_path / "bundle").stat().st_mode) == 0o600


def test_the_longest_possible_name(tmp_path: Path) -> None:
    path = tmp_path / ("ä" * 127)
    write(path, "content")
    assert path.read_text() == "content"


def test_long_names_that_begin_alike_have_hidden_files_of_their_own(tmp_path: Path) -> None:
    one, other = tmp_path / ("a" * 254 + "1"), tmp_path / ("a" * 254 + "2")
    with atomic_file(one) as partial:
        partial.write_text("content")
        remove_partials(tmp_path, of=other)
    assert one.read_text() == "content"
    with atomic_folder(other) as partial:
        (partial / "a").touch()
    assert (other / "a").exists()


def test_left_temporary_files_of_one_file_are_removed_and_no_others(tmp_path: Path) -> None:
    with pytest.raises(UserError), atomic_file(tmp_path / "file"):  # noqa: PT012
        (left,) = tmp_path.iterdir()
        left.rename(tmp_path / left.name.replace(".partial", "0.partial"))
        raise UserError("killed")
    (tmp_path / ".file.4711.partial").write_text("named by a process, as older versions did")
    for name in (".file.old.0123.partial", ".files.0123.partial"):
        (tmp_path / name).write_text("of another file")
    remove_partials(tmp_path, tmp_path / "file")
    assert names(tmp_path) == [".file.old.0123.partial", ".files.0123.partial"]
    remove_partials(tmp_path)
    assert names(tmp_path) == []


@pytest.mark.parametrize("mode", [0o600, 0o660])
def test_a_lock_has_the_permissions_it_is_given(tmp_path: Path, mode: int) -> None:
    lock = tmp_path / "lock"
    lock.touch(0o644)
    with file_lock(lock, mode=mode):
        assert stat.S_IMODE(lock.stat().st_mode) == mode


@pytest.mark.parametrize("link", [False, True])
def test_a_lock_never_changes_a_file(tmp_path: Path, link: bool) -> None:
    (tmp_path / "other").write_text("mine")
    lock = tmp_path / "lock"
    if link:
        lock.symlink_to("other")
        with pytest.raises(UserError, match=r"lock: found a symbolic link, expected a lock file; delete the link$"):
            file_lock(lock).__enter__()
    else:
        (tmp_path / "other").rename(lock)
        with file_lock(lock), pytest.raises(UserError, match="another process is using this folder"):
            file_lock(lock).__enter__()
    assert (tmp_path / ("other" if link else "lock")).read_text() == "mine"


def test_locks_and_folders_without_flock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("speakerid.base.files.fcntl", None)
    for _ in range(2):
        with file_lock(tmp_path / "lock"), pytest.raises(UserError, match="another process is using this folder"):
            file_lock(tmp_path / "lock").__enter__()
    with file_lock(tmp_path / "lock", wait=True), atomic_folder(tmp_path / "folder") as partial:
        (partial / "file").touch()
    assert (tmp_path / "folder" / "file").exists()


def test_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    with disk(tmp_path / "disk") as folder:
        write(folder / "file", "old")
        with pytest.raises(UserError, match=r"disk/file: cannot be written: No space left on device"):
            write(folder / "file", "new" * 100_000)
        with (
            pytest.raises(UserError, match=r"disk/file: cannot be written: No space left on device"),
            atomic_file(folder / "file") as partial,
        ):
            save_plain(partial, torch.zeros(100_000))
        assert (folder / "file").read_text() == "old"
        assert names(folder) == ["file"]


def test_read_only_disk_is_refused_in_one_line(tmp_path: Path) -> None:
    with disk(tmp_path / "disk") as folder:
        write(folder / "file", "old")
        make_read_only(folder)
        with pytest.raises(UserError, match=r"disk/file: cannot be written: Read-only file system"):
            write(folder / "file", "new")
        with (
            pytest.raises(UserError, match=r"disk/folder: cannot be written: Read-only file system"),
            atomic_folder(folder / "folder"),
        ):
            pass


def test_folder_appears_whole(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    with atomic_folder(out) as partial:
        (partial / "inner").mkdir()
        (partial / "inner" / "file").write_text("content")
        assert not out.exists()
    assert (out / "inner" / "file").read_text() == "content"
    assert names(out.parent) == ["out"]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_failing_block_leaves_no_folder(tmp_path: Path, failure: type[BaseException]) -> None:
    with pytest.raises(failure), atomic_folder(tmp_path / "out") as partial:  # noqa: PT012
        (partial / "file").write_text("content")
        raise failure
    assert names(tmp_path) == []


KILLED = """
import os, signal, sys; from pathlib import Path; from speakerid.base.files import atomic_folder
with atomic_folder(Path(sys.argv[1])) as partial:
    (partial / "file").write_text("content")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_folder_of_a_killed_process_is_removed_and_that_of_another_is_not(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, tmp_path / "out"])
    assert len(names(tmp_path)) == 1
    with atomic_folder(tmp_path / "out") as mine:
        assert names(tmp_path) == [mine.name]
        subprocess.run([sys.executable, "-c", KILLED, tmp_path / "out"])
        assert mine.exists()
        assert len(names(tmp_path)) == 2
    with atomic_folder(tmp_path / "out.2"):
        assert len(names(tmp_path)) == 3


def test_existing_target_of_a_folder_is_untouched(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    for name in ("folder", "file"):
        with pytest.raises(UserError, match=rf"{name}: already exists"), atomic_folder(tmp_path / name):
            raise AssertionError("the block must not run")
    assert names(tmp_path) == ["file", "folder"]
    assert (tmp_path / "file").read_text() == "mine"


def test_target_of_a_folder_that_appears_meanwhile_is_untouched(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(UserError, match=r"out: cannot be written"), atomic_folder(out):  # noqa: PT012
        out.mkdir()
        (out / "file").write_text("someone else's")
    assert names(tmp_path) == ["out"]
    assert names(out) == ["file"]


def test_folder_below_a_file_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"^\S+/file/out: cannot be written: "), atomic_folder(tmp_path / "file/out"):
        pass


def test_folders_created_concurrently_are_not_considered_abandoned(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def begin_often() -> None:
        for _ in range(100):
            try:
                with atomic_folder(tmp_path / "out") as partial:
                    (partial / "file").write_text("mine")
                    raise KeyboardInterrupt  # so that the next one finds no folder with this name
            except KeyboardInterrupt:
                continue
            except UserError as error:
                failures.append(error)

    threads = [threading.Thread(target=begin_often) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert names(tmp_path) == []


def test_a_killed_process_s_folder_is_removed_by_the_next_and_no_other(tmp_path: Path) -> None:
    script = (
        "import os, sys, time\nfrom pathlib import Path\nfrom speakerid.base.files import atomic_folder\n"
        "with atomic_folder(Path(sys.argv[1])) as partial:\n"
        "    (partial / 'half').write_text('x')\n    print('ready', flush=True)\n    time.sleep(60)\n"
    )
    out = tmp_path / "out"
    with ExitStack() as at_work:
        children = [
            at_work.enter_context(subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE))
            for path in (out, out, tmp_path / "out.second")
        ]
        for child in children:
            at_work.callback(child.kill)  # before the wait at the end of the block, even if it fails
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
        before = set(names(tmp_path))
        children[0].kill()
        children[0].wait()
        children[2].kill()
        children[2].wait()
        (tmp_path / ".out.backup.partial").mkdir()
        with atomic_folder(out):
            left = before & set(names(tmp_path))
    assert len(before) == 3
    assert sorted(name.split(".")[1] for name in left) == ["out", "out"]  # one is in use, one belongs to another folder
    assert any(name.startswith(".out.second.") for name in left)
    assert (tmp_path / ".out.backup.partial").exists()
