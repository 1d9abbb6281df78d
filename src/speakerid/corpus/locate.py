"""Find a corpus that is in a subfolder of the given folder."""

import sys
from functools import cache
from pathlib import Path

from speakerid.base.errors import UserError
from speakerid.corpus.hw4_json import MAPPING, METADATA, TESTDATA
from speakerid.corpus.utterances import PACKED, PARTS, STAGE


def locate(root: Path) -> Path:
    """Folder of a corpus: `root`, or its only subfolder with one, as after unpacking an archive; else `root`.

    Raises:
        UserError: several subfolders have a corpus.
    """
    if not root.is_dir() or _is_corpus(root) or (root / PACKED).is_dir() or (root / STAGE).is_dir():
        return root
    inside = _folders(root)
    found = [folder for folder in inside if _is_corpus(folder)]
    if not found and len(inside) == 1:
        found = [folder for folder in _folders(inside[0]) if _is_corpus(folder)]
    if len(found) > 1:
        raise UserError(
            f"{root}: holds several corpora, including {found[0].name} and {found[1].name}; give one of them"
        )
    if not found:
        return root
    note(f"{root}: reading the corpus in {found[0]}")
    return found[0]


@cache
def note(line: str) -> None:
    """Print a line to standard error, once per process."""
    print(line, file=sys.stderr)


def _is_corpus(folder: Path) -> bool:
    names = (METADATA, TESTDATA, MAPPING, f"{PACKED}/{PARTS[0]}.json")
    return any((folder / name).exists() for name in names)


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        return []
