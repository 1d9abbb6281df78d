"""A new bundle in place of a former one, and what that would lose."""

from __future__ import annotations

from pathlib import Path

from speakerid.errors import UserError
from speakerid.recognition.bundle import Bundle, locked

_SHOWN = 5
"""Names in an error."""


def check_replaceable(path: Path, replace: bool) -> None:
    """Refuse early what `save_new` would refuse for people who were enrolled; an export takes minutes.

    Raises:
        UserError: see `save_new`.
    """
    if not replace and path.exists():
        _refuse(path, _lost(_former(path), None))


def save_new(bundle: Bundle, path: Path, replace: bool) -> tuple[str, ...]:
    """Write a bundle that was made of a checkpoint.

    Args:
        bundle: the new one.
        path: its file.
        replace: also over a bundle in which speakers were enrolled, forgotten or renamed.

    Returns:
        What was lost with the former bundle, a line each.

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
        lost = _lost(former, bundle) if former else []
        if not replace:
            _refuse(path, lost)
        bundle.save(path)
    return tuple(lost)


def _former(path: Path) -> Bundle:
    try:
        return Bundle.load(path)
    except UserError as error:
        raise UserError(f"{error}; it is not replaced: choose another output, or --replace") from error


def _lost(former: Bundle, new: Bundle | None) -> list[str]:
    """What a former bundle says of people and a new one would not; without a new one, what is enrolled."""
    lost, profiles = list[str](), former.profiles
    for name, clips, trained, recordings in zip(
        profiles.names, profiles.clips, profiles.trained, profiles.recordings, strict=True
    ):
        if not trained:
            lost.append(f"{name!r} is enrolled ({clips} recording{'' if clips == 1 else 's'})")
        elif recordings:
            lost.append(f"{name!r} has {len(recordings)} added recording{'' if len(recordings) == 1 else 's'}")
        elif new and name not in new.profiles.names:
            lost.append(f"{name!r} was renamed or is not in the new training")
    if new:
        back = [name for name in new.profiles.names if name not in profiles.names]
        lost += [f"{name!r} was forgotten, renamed or is new, and would be there" for name in back]
    return lost


def _refuse(path: Path, lost: list[str]) -> None:
    if lost:
        more = f", and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
        raise UserError(
            f"{path}: exporting over this bundle loses changes made to it: {', '.join(lost[:_SHOWN])}{more}; choose "
            "another output, or use --replace and then `enroll` again from the recordings, `forget` and `rename`"
        )
