"""Names, links, permissions and leftovers of bundle files; files of other types."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from processes import FORKS
from recognition.bundles import Trained, enroll_somebody
from speakerid.base.errors import UserError
from speakerid.cli import run
from speakerid.recognition.bundle import Bundle
from speakerid.recognition.recognizer import Recognizer


def names(path: Path) -> tuple[str, ...]:
    return Bundle.load(path).profiles.names


@pytest.fixture
def link(bundle: Path) -> Path:
    """Link to a link to the bundle, in another folder."""
    folder = bundle.parent / "elsewhere"
    folder.mkdir()
    (folder / "inner").symlink_to(bundle)
    (folder / "link.safetensors").symlink_to("inner")
    return folder / "link.safetensors"


def test_changes_through_a_link_change_the_file_behind_it(trained: Trained, bundle: Path, link: Path) -> None:
    first, second = trained.bundle.profiles.names[:2]
    recognizer = Recognizer.load(link)
    recognizer.forget(first)
    recognizer.rename(second, "Anna")
    recognizer.enroll("Zoe", trained.clips(trained.stranger)[:1])
    assert link.is_symlink()
    assert first not in names(bundle)
    assert {"Anna", "Zoe"} <= set(names(bundle))
    assert sorted(path.name for path in link.parent.iterdir()) == ["inner", "link.safetensors"]


def test_writers_by_two_names_of_one_file_lose_nothing(bundle: Path, link: Path) -> None:
    writers = [
        FORKS.Process(target=enroll_somebody, args=(path, f"guest{number}"))
        for number, path in enumerate([bundle, link] * 2)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert {f"guest{number}" for number in range(4)} <= set(names(bundle))


def test_a_new_bundle_is_private_and_a_chosen_mode_stays(trained: Trained, tmp_path: Path) -> None:
    path = tmp_path / "b.safetensors"
    before = os.umask(0o022)
    try:
        trained.bundle.save(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        for mode in (0o600, 0o640):
            path.chmod(mode)
            enroll_somebody(path, f"guest{mode}")
            assert stat.S_IMODE(path.stat().st_mode) == mode
            assert stat.S_IMODE(path.with_name(".b.safetensors.lock").stat().st_mode) == mode
    finally:
        os.umask(before)


@pytest.mark.parametrize("left", [".speaker.safetensors.4711.partial", ".speaker.safetensors.0a1b2c3d.partial"])
def test_forgetting_sweeps_what_killed_writers_left(trained: Trained, bundle: Path, link: Path, left: str) -> None:
    bundle.with_name(left).write_bytes(bundle.read_bytes())
    Recognizer.load(link).forget(trained.bundle.profiles.names[0])
    assert not bundle.with_name(left).exists()


def test_pipes_devices_and_folders_are_refused_before_they_are_opened(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path, kind in ((pipe, "a named pipe"), (Path("/dev/zero"), "a device"), (tmp_path, "a folder")):
        with pytest.raises(UserError, match=f"found {kind}, expected a regular file"):
            Bundle.load(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "an empty file"), (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "git lfs pull"),
     (b"\n<!DOCTYPE html><html>", "an HTML page"), (b"<HTML><head>", "an HTML page"),
     (b"RIFF\0\0\0\0WAVE", "a recording"),
     (b"PK\x03\x04" + bytes(99), "`speakerid export` makes a bundle"), (b"some notes", "not a safetensors file"),
     (b"\0" * 64, "not a safetensors file")],
)  # fmt: skip
def test_other_files_are_named_for_what_they_are(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "b.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError, match=said) as error:
        Bundle.load(path)
    assert str(error.value).startswith(f"{path}: ")


def test_a_checkpoint_is_told_from_a_bundle(trained: Trained) -> None:
    with pytest.raises(UserError, match="`speakerid export` makes a bundle of a checkpoint"):
        Bundle.load(trained.checkpoint)


def test_a_leftover_that_cannot_be_removed_is_said(bundle: Path) -> None:
    left = bundle.with_name(".speaker.safetensors.4711.partial")
    left.mkdir()
    before = bundle.read_bytes()
    with pytest.raises(UserError, match=r"4711\.partial: cannot be removed"):
        enroll_somebody(bundle, "Zoe")
    assert bundle.read_bytes() == before


def test_a_killed_writer_leaves_nothing_behind_the_next_one(trained: Trained, bundle: Path) -> None:
    code = (
        "import os; from pathlib import Path; from recognition.bundles import enroll_somebody\n"
        "os.replace = lambda a, b: os.kill(os.getpid(), 9)\n"
        f"enroll_somebody(Path({str(bundle)!r}), 'Secret')"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    assert list(bundle.parent.glob(".speaker*.partial"))
    Recognizer.load(bundle).forget(trained.bundle.profiles.names[0])
    assert not list(bundle.parent.glob(".speaker*.partial"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_the_lock_belongs_to_the_owner_of_the_bundle(bundle: Path) -> None:
    bundle.chmod(0o440)
    os.chown(bundle, 12345, 23456)
    enroll_somebody(bundle, "guest")
    status = (bundle.parent / f".{bundle.name}.lock").stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (12345, 23456, 0o640)


def test_a_lock_that_is_a_name_of_another_file_is_refused(bundle: Path) -> None:
    other = bundle.parent / "other.txt"
    other.write_text("notes")
    other.chmod(0o644)
    (bundle.parent / f".{bundle.name}.lock").hardlink_to(other)
    with pytest.raises(UserError, match="hard link"):
        enroll_somebody(bundle, "guest")
    assert other.read_text() == "notes"
    assert stat.S_IMODE(other.stat().st_mode) == 0o644


def test_hard_links_that_keep_voice_prints_are_named(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (bundle.parent / "copy").hardlink_to(bundle)
    assert run(["forget", str(bundle), names(bundle)[0]]) == 0
    assert "note: " in (said := capsys.readouterr().err)
    assert "another name (a hard link), which keeps the old content" in said
    assert run(["rename", str(bundle), names(bundle)[0], "Anna"]) == 0
    assert not capsys.readouterr().err


def test_a_bundle_is_not_exported_as_a_checkpoint(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="found a bundle, expected a checkpoint; --to"):
        run(["export", str(bundle), str(tmp_path / "other.safetensors")])


def test_the_longest_possible_name(trained: Trained, bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / ("ä" * 121 + ".safetensors")
    bundle.rename(path)
    Recognizer.load(path).enroll("Zoe", trained.clips(trained.stranger)[:1])
    assert "Zoe" in Bundle.load(path).profiles.names
