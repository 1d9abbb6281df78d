"""A mark on a corpus whose files are being exchanged, so that a kill in between leaves no mixture of two corpora."""

from pathlib import Path

from speakerid.errors import UserError
from speakerid.files import atomic_file

NAME = "UNFINISHED.txt"


def mark(root: Path) -> None:
    """Mark a corpus as unfinished; what opens corpora refuses it from now on."""
    with atomic_file(root / NAME) as partial:
        partial.write_text("This corpus is between two states. Run the same `prepare` again, it continues.\n")


def unmark(root: Path) -> None:
    """Say that all files of a corpus belong together."""
    (root / NAME).unlink()


def refuse(root: Path) -> None:
    """Raise UserError if a corpus is marked as unfinished."""
    if (root / NAME).exists():
        raise error(root)


def error(root: Path) -> UserError:
    return UserError(f"{root}: its preparation is unfinished; run the same `prepare` again, it continues")
