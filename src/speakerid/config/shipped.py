"""Settings files that ship with the package, by name: `few_minutes`, `task2_conformer`, …"""

import difflib
from pathlib import Path

from speakerid.base.errors import UserError
from speakerid.base.files import StrPath

_PACKAGE = Path(__file__).resolve().parents[1]
_FOLDERS = (_PACKAGE / "configs", _PACKAGE.parents[1] / "configs")
"""Inside an installed package, and in the checkout, where they are written and setup.py copies them from."""


def shipped_configs() -> dict[str, Path]:
    """Path of each settings file by its name, in alphabetical order; empty if there are none."""
    folder = next(filter(Path.is_dir, _FOLDERS), None)
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))} if folder else {}


def find_config(path: StrPath) -> Path:
    """Path of a settings file, given as a path or as the name of one that ships.

    A file of that path comes first. Only a word without a folder and a suffix can be a name.

    Raises:
        UserError: it is neither a file nor the name of one that ships.
    """
    found = Path(path)
    if found.is_file() or str(path) != found.stem:
        return found
    shipped = shipped_configs()
    if found.name in shipped:
        return shipped[found.name]
    near = difflib.get_close_matches(found.name, shipped, n=1)
    meant = f"; did you mean {near[0]}?" if near else ""
    raise UserError(f"{path}: no such file; expected one, or a name of {', '.join(shipped)}{meant}")
