"""Mark a corpus while its files are replaced, so that a mixture left by a killed process is not read."""

from pathlib import Path

from speakerid.base.errors import UserError
from speakerid.base.files import atomic_file

NAME = "UNFINISHED.txt"


def mark(root: Path) -> None:
    """Mark a corpus as unfinished; opening it then raises an error."""
    with atomic_file(root / NAME) as partial:
        partial.write_text("This corpus is incomplete. Run the same `prepare` again to continue.\n")


def unmark(root: Path) -> None:
    """Remove the mark once all files of a corpus belong together."""
    (root / NAME).unlink()


def refuse(root: Path) -> None:
    """Raise UserError if a corpus is marked as unfinished."""
    if (root / NAME).exists():
        raise error(root)


def error(root: Path) -> UserError:
    """Error to raise for an unfinished corpus."""
    return UserError(f"{root}: its preparation is unfinished; run the same `prepare` again to continue")
