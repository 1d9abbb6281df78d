"""Replace a bundle by a new one, and say what that would lose."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from speakerid.base.errors import UserError
from speakerid.base.printing import counted, nfc
from speakerid.preparation.sources.walk import Remarks, recordings_below
from speakerid.recognition.bundle import Bundle, locked
from speakerid.recognition.enrollment import Enrollment
from speakerid.recognition.recognizer import Recognizer

_SHOWN = 5
"""Number of names in an error message."""


def recordings_again(path: Path, folder: Path, remarks: Remarks) -> dict[str, list[Path]]:
    """Find recordings of the speakers who were enrolled in a bundle, or to whom recordings were added.

    Args:
        path: file of the bundle, which may not exist.
        folder: has a folder for each speaker, under the speaker's name.
        remarks: collects the skipped files.

    Raises:
        UserError: `folder` is not a folder, or has no recordings of a speaker.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: not a folder; expected one with a folder of recordings for each speaker")
    profiles = _former(path).profiles if path.exists() else None
    rows = zip(profiles.names, profiles.trained, profiles.recordings, strict=True) if profiles else ()
    enrolled = [name for name, trained, recordings in rows if recordings or not trained]
    there = {nfc(entry.name): entry for entry in folder.iterdir() if entry.is_dir()}
    found = {name: recordings_below(there[nfc(name)], remarks) for name in enrolled if nfc(name) in there}
    if missing := [repr(name) for name in enrolled if not found.get(name)]:
        raise UserError(
            f"{folder}: found no recordings of {_listed(missing)}, enrolled in {path}; put them into a folder named "
            "after the speaker, or `forget` the speaker, or use --replace without --enroll"
        )
    return found


def enroll_again(bundle: Bundle, recordings: Mapping[str, Sequence[Path]]) -> tuple[Bundle, list[Enrollment]]:
    """Enroll speakers in a new bundle, or add recordings to speakers that it was trained on.

    Raises:
        UserError: none of a speaker's recordings can be used, or the name is reserved.
    """
    recognizer = Recognizer(bundle)
    enrollments = [
        recognizer.enroll(name, paths, add=recognizer.bundle.profiles.stored_name(name) in recognizer.speakers)
        for name, paths in recordings.items()
    ]
    return recognizer.bundle, enrollments


def check_replaceable(path: Path, replace: bool, again: Collection[str] = ()) -> None:
    """Check, before minutes of export, that `save_new` would lose no enrolled speakers.

    Raises:
        UserError: see `save_new`.
    """
    if not replace and path.exists():
        _refuse(path, _lost(_former(path), None, again))


def save_new(bundle: Bundle, path: Path, replace: bool, again: Collection[str] = ()) -> tuple[str, ...]:
    """Write a bundle that was made from a checkpoint.

    Args:
        bundle: the new bundle.
        path: its file.
        replace: also replace a bundle in which speakers were enrolled, forgotten or renamed.
        again: speakers who were enrolled again in the new bundle.

    Returns:
        What was lost with the former bundle, one line each.

    Raises:
        UserError: without `replace`, something would be lost, or the file is not a bundle.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from error
    with locked(path):
        try:
            former = _former(path) if path.exists() else None
        except UserError:
            if not replace:
                raise
            former = None
        lost = _lost(former, bundle, again) if former else []
        if not replace:
            _refuse(path, lost)
        bundle.save(path)
    return tuple(lost)


def _former(path: Path) -> Bundle:
    try:
        return Bundle.load(path)
    except UserError as error:
        raise UserError(f"{error}; it is not replaced: choose another output, or --replace") from error


def _lost(former: Bundle, new: Bundle | None, again: Collection[str]) -> list[str]:
    """What replacing a bundle by a new one loses; if `new` is None, only what was enrolled."""
    lost, profiles = list[str](), former.profiles
    for name, clips, trained, recordings in zip(
        profiles.names, profiles.clips, profiles.trained, profiles.recordings, strict=True
    ):
        if name in again:
            continue
        if not trained:
            lost.append(f"{name!r} is enrolled ({clips} recording{'' if clips == 1 else 's'})")
        elif recordings:
            lost.append(f"{name!r} has {len(recordings)} added recording{'' if len(recordings) == 1 else 's'}")
        elif former.kept.active(name):
            lost.append(f"{name!r} has added turns of recordings")
        elif new and name not in new.profiles.names:
            lost.append(f"{name!r} was renamed or is not in the new training")
    if corrections := [one for one in former.kept.corrections if one.name not in again]:
        lost.append(f"{counted(len(corrections), 'corrected turn')}")
    if new:
        back = [name for name in new.profiles.names if name not in profiles.names]
        lost += [f"{name!r} was forgotten or renamed, or is new, and would be there" for name in back]
    return lost


def _refuse(path: Path, lost: list[str]) -> None:
    if lost:
        raise UserError(
            f"{path}: exporting over this bundle would lose changes to it: {_listed(lost)}; choose another output, "
            "enroll again in the same step with --enroll FOLDER (a folder of recordings for each speaker), or use "
            "--replace and then `enroll`, `forget` and `rename` again"
        )


def _listed(some: list[str]) -> str:
    return ", ".join(some[:_SHOWN]) + (f", and {len(some) - _SHOWN} more" if len(some) > _SHOWN else "")
