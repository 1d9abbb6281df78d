"""A bundle is not replaced by an export that would lose what was done to it."""

from pathlib import Path

import pytest

from recognition.bundles import Trained
from speakerid.errors import UserError
from speakerid.recognition.bundle import Bundle
from speakerid.recognition.bundle_replacement import check_replaceable, save_new
from speakerid.recognition.recognizer import Recognizer


def enroll(trained: Trained, path: Path) -> None:
    Recognizer.load(path).enroll("Zoe", trained.clips(trained.stranger)[:2])


def add(trained: Trained, path: Path) -> None:
    recognizer = Recognizer.load(path)
    recognizer.enroll(recognizer.speakers[0], trained.clips(trained.stranger)[:1], add=True)


def forget(trained: Trained, path: Path) -> None:
    Recognizer.load(path).forget(trained.bundle.profiles.names[0])


def rename(trained: Trained, path: Path) -> None:
    Recognizer.load(path).rename(trained.bundle.profiles.names[0], "Anna")


@pytest.mark.parametrize(
    ("change", "said"),
    [(enroll, r"'Zoe' is enrolled \(2 recordings\)"), (add, "has 1 added recording"),
     (forget, "'demo0000' was forgotten"), (rename, "'Anna' was renamed")],
)  # fmt: skip
def test_what_was_done_to_a_bundle_is_not_lost_silently(trained: Trained, bundle: Path, change, said: str) -> None:
    change(trained, bundle)
    before = bundle.read_bytes()
    with pytest.raises(UserError, match=f"{said}.*--replace"):
        save_new(trained.bundle, bundle, replace=False)
    assert bundle.read_bytes() == before
    assert any(said.replace("\\", "") in line for line in save_new(trained.bundle, bundle, replace=True))
    assert Bundle.load(bundle).profiles.names == trained.bundle.profiles.names


def test_enrolled_speakers_are_noticed_before_the_export(trained: Trained, bundle: Path) -> None:
    check_replaceable(bundle, replace=False)
    enroll(trained, bundle)
    with pytest.raises(UserError, match="'Zoe' is enrolled"):
        check_replaceable(bundle, replace=False)
    check_replaceable(bundle, replace=True)


def test_an_unchanged_bundle_is_replaced_and_another_file_is_not(
    trained: Trained, bundle: Path, tmp_path: Path
) -> None:
    assert save_new(trained.bundle, bundle, replace=False) == ()
    other = tmp_path / "notes.txt"
    other.write_text("notes")
    with pytest.raises(UserError, match="it is not replaced"):
        save_new(trained.bundle, other, replace=False)
    assert other.read_text() == "notes"
    assert save_new(trained.bundle, tmp_path / "new" / "b.safetensors", replace=False) == ()
