from pathlib import Path

import pytest

from speakerid.corpus.scan import Recording, scan
from speakerid.errors import UserError


def touch(source: Path, *names: str) -> None:
    for name in names:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).touch()


def found(source: Path) -> list[tuple[str, str, str | None]]:
    return [(r.path.relative_to(source).as_posix(), r.speaker, r.session) for r in scan(source)]


def test_folders_are_speakers_and_inner_folders_sessions(tmp_path: Path) -> None:
    touch(tmp_path, "zoe/b.wav", "zoe/a.flac", "ann/2020/x.ogg", "ann/2020/tape 1/y.mp3", "ann/2019/z.wav")
    assert found(tmp_path) == [
        ("ann/2019/z.wav", "ann", "2019"),
        ("ann/2020/x.ogg", "ann", "2020"),
        ("ann/2020/tape 1/y.mp3", "ann", "2020/tape 1"),
        ("zoe/a.flac", "zoe", None),
        ("zoe/b.wav", "zoe", None),
    ]


def test_order_is_by_folder_and_not_by_the_whole_text(tmp_path: Path) -> None:
    # As text "a b/…" sorts before "a/…", for a blank comes before a slash.
    touch(tmp_path, "a b/1.wav", "a/2.wav", "a/1.wav")
    assert [name for name, *_ in found(tmp_path)] == ["a/1.wav", "a/2.wav", "a b/1.wav"]


def test_numbers_are_in_order_of_their_value(tmp_path: Path) -> None:
    touch(tmp_path, "ann/take10.wav", "ann/take2.wav", "ann/take1b.wav", "ann/7.wav")
    assert [name for name, *_ in found(tmp_path)] == [
        "ann/7.wav", "ann/take1b.wav", "ann/take2.wav", "ann/take10.wav",
    ]  # fmt: skip


def test_endings_in_capitals_count(tmp_path: Path) -> None:
    touch(tmp_path, "ann/A.WAV", "ann/b.Flac", "ann/c.OGG", "ann/d.mP3")
    assert len(scan(tmp_path)) == 4


def test_everything_else_is_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "ann/a.wav", "ann/notes.txt", "ann/wav", "ann/b.wav.part", "loose.wav", "README.md")
    (tmp_path / "ann" / "folder.wav").mkdir()
    (tmp_path / "empty").mkdir()
    assert scan(tmp_path) == [Recording(tmp_path / "ann" / "a.wav", "ann", None)]


def test_any_name_will_do(tmp_path: Path) -> None:
    touch(tmp_path, "Jürgen Müller/Sitzung 1/grüße & mehr.wav", "王/録音.wav")
    assert found(tmp_path) == [
        ("Jürgen Müller/Sitzung 1/grüße & mehr.wav", "Jürgen Müller", "Sitzung 1"),
        ("王/録音.wav", "王", None),
    ]


def test_links_to_recordings_count(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere.wav")
    (tmp_path / "source" / "ann").mkdir(parents=True)
    (tmp_path / "source" / "ann" / "a.wav").symlink_to(tmp_path / "elsewhere.wav")
    assert found(tmp_path / "source") == [("ann/a.wav", "ann", None)]


def test_missing_folder_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "file.wav")
    for path in (tmp_path / "nowhere", tmp_path / "file.wav"):
        with pytest.raises(UserError, match=rf"^{path}: no such folder; expected one folder per speaker"):
            scan(path)


@pytest.mark.parametrize("names", [[], ["loose.wav"], ["ann/notes.txt"]])
def test_folder_without_recordings_says_what_is_expected(tmp_path: Path, names: list[str]) -> None:
    touch(tmp_path, *names)
    expected = rf"^{tmp_path}: no recordings found; expected {tmp_path}/SPEAKER/.*\.wav, \.flac, \.ogg, \.mp3$"
    with pytest.raises(UserError, match=expected):
        scan(tmp_path)


def test_order_is_not_that_of_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "ann/1.wav", "ann/01.wav", "ann/001.wav", "1/a.wav", "01/b.wav", "01/c.wav")
    recordings = scan(tmp_path)
    rglob = Path.rglob
    monkeypatch.setattr(Path, "rglob", lambda path, pattern: reversed(list(rglob(path, pattern))))
    assert scan(tmp_path) == recordings


def test_numbers_of_other_scripts_are_names_too(tmp_path: Path) -> None:
    touch(tmp_path, "١٢/a.wav", "１２/a.wav", "²/a.wav", "12/a.wav", "ann/a.wav")
    assert len(scan(tmp_path)) == 5


def test_speakers_whose_names_are_not_unicode_stay_apart(tmp_path: Path) -> None:
    # Müller and Möller as Windows once wrote them.
    try:
        touch(tmp_path, "M\udcfcller/a.wav", "M\udcf6ller/a.wav")
    except OSError:
        pytest.skip("this file system takes Unicode names only")
    assert len({recording.speaker for recording in scan(tmp_path)}) == 2
