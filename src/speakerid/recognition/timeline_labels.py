"""Names in timelines and in NIST's formats, in which two recordings or two speakers never share one."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from speakerid.errors import UserError

UNKNOWN = "unknown"
"""Label of a voice that is nobody's whom the bundle knows."""
ABSENT = "<NA>"
"""What RTTM and CTM have in fields without a value."""


def check_names(names: Sequence[str], bundle: Path) -> None:
    """Refuse a bundle in which a speaker has the name that timelines give to strangers.

    Raises:
        UserError: with the command that renames the speaker.
    """
    if UNKNOWN in names:
        raise UserError(
            f"{bundle}: found a speaker called {UNKNOWN!r}, which in a timeline means a stranger; rename the speaker: "
            f"speakerid rename {bundle} {UNKNOWN} NEW"
        )


def file_ids(paths: Sequence[Path]) -> dict[Path, str]:
    """A file id without blanks for every recording, no two the same.

    Ids are the names without endings, blanks as underscores. Where two of them are the same, all ids are written in
    the first of these forms that tells all recordings apart: blanks escaped as %20, the ending kept, the path below
    the recordings' common folder.

    Args:
        paths: of the recordings, no two the same.
    """
    if not paths:
        return {}
    whole = [os.path.abspath(path) for path in paths]
    root = os.path.commonpath([os.path.dirname(path) for path in whole])
    below = [os.path.relpath(path, root) for path in whole]
    forms = (
        [_joined(path.stem) for path in paths],
        [_escaped(path.stem) for path in paths],
        [_escaped(path.name) for path in paths],
        [_escaped(os.path.splitext(name)[0]) for name in below],
        [_escaped(name) for name in below],
    )
    ids = next(form for form in forms if len(set(form)) == len(paths))  # the last one tells all paths apart
    return dict(zip(paths, ids, strict=True))


def speaker_labels(names: Sequence[str]) -> dict[str | None, str]:
    """A label without blanks for every speaker, and for None, a stranger; no two the same.

    Args:
        names: of the speakers, among which `UNKNOWN` is not, see `check_names`.
    """
    for write in (_joined, _escaped):
        labels = {name: write(name) for name in names}
        if len({UNKNOWN, *labels.values()}) == len(labels) + 1:
            break
    return {**labels, None: UNKNOWN}


def _joined(text: str) -> str:
    """Blanks as underscores, for that is how such names are mostly written."""
    return _encoded("_".join(text.split()) or "_", lambda c: not c.isprintable())


def _escaped(text: str) -> str:
    """Blanks and percent signs escaped, so that two texts never become one."""
    return _encoded(text, lambda c: c.isspace() or not c.isprintable() or c == "%")


def _encoded(text: str, needed: Callable[[str], bool]) -> str:
    """Characters that a field cannot have as in a URL."""
    if text == ABSENT:
        return "%3CNA%3E"
    return "".join("".join(f"%{byte:02X}" for byte in _bytes(c)) if needed(c) else c for c in text)


def _bytes(character: str) -> bytes:
    try:
        return os.fsencode(character)
    except UnicodeEncodeError:  # half of a surrogate pair, in a name that came from JSON
        return character.encode("utf-8", "surrogatepass")
