"""An export does not replace a bundle if that would lose changes."""

from pathlib import Path

import pytest

from recognition.bundles import Trained
from speakerid.base.errors import UserError
from speakerid.preparation.sources.walk import Remarks
from speakerid.recognition.bundle import Bundle
from speakerid.recognition.bundle_replacement import check_replaceable, enroll_again, recordings_again, save_new
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


@pytest.fixture
def folder(trained: Trained, tmp_path: Path) -> Path:
    """Folder with recordings of Zoe, recordings of a trained speaker, an empty folder, and hidden files."""
    for name, speaker in (("Zoe", trained.stranger), (trained.bundle.profiles.names[0], trained.stranger)):
        for number, clip in enumerate(trained.clips(speaker)[:2]):
            (tmp_path / "people" / name / "day").mkdir(parents=True, exist_ok=True)
            (tmp_path / "people" / name / "day" / f"{number}.wav").write_bytes(clip.read_bytes())
            (tmp_path / "people" / name / "day" / f"._{number}.wav").write_bytes(b"of macOS")
    (tmp_path / "people" / "Bob").mkdir()
    return tmp_path / "people"


@pytest.mark.parametrize("change", [enroll, add])
def test_speakers_are_enrolled_again_in_the_new_bundle(trained: Trained, bundle: Path, folder: Path, change) -> None:
    change(trained, bundle)
    before = Bundle.load(bundle)
    recordings = recordings_again(bundle, folder, Remarks())
    assert len(recordings) == 1
    check_replaceable(bundle, False, recordings)
    new, (enrollment,) = enroll_again(trained.bundle, recordings)
    assert save_new(new, bundle, False, recordings) == ()
    assert (enrollment.added, enrollment.skipped) == (2, ())
    after = Bundle.load(bundle).profiles
    assert after.names == before.profiles.names
    assert after.recordings[after.index(enrollment.name)] >= before.profiles.recordings[after.index(enrollment.name)]


def test_who_is_not_found_is_named_before_the_export(trained: Trained, bundle: Path, folder: Path) -> None:
    recognizer = Recognizer.load(bundle)
    for name in ("Bob", "Eve", "Zoe"):  # Bob has a folder without recordings
        recognizer.enroll(name, trained.clips(trained.stranger)[:1])
    with pytest.raises(UserError, match=f"{folder}: found no recordings of 'Bob', 'Eve', enrolled in {bundle}; put"):
        recordings_again(bundle, folder, Remarks())
    with pytest.raises(UserError, match="not a folder"):
        recordings_again(bundle, folder / "none", Remarks())


def test_what_else_is_lost_is_still_refused(trained: Trained, bundle: Path, folder: Path) -> None:
    enroll(trained, bundle)
    recordings = recordings_again(bundle, folder, Remarks())
    Recognizer.load(bundle).enroll("Late", trained.clips(trained.stranger)[3:4])  # while the export works
    before = bundle.read_bytes()
    new, _ = enroll_again(trained.bundle, recordings)
    with pytest.raises(UserError, match="changes to it: 'Late' is enrolled"):
        save_new(new, bundle, False, recordings)
    assert bundle.read_bytes() == before


def test_without_a_former_bundle_there_is_nothing_to_enroll_again(trained: Trained, folder: Path) -> None:
    assert recordings_again(folder / "new.safetensors", folder, Remarks()) == {}
    assert recordings_again(trained.path, folder, Remarks()) == {}
    assert enroll_again(trained.bundle, {}) == (trained.bundle, [])
