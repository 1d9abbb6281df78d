"""Write times, and make unique names of recordings and speakers, for timelines and NIST's formats."""

import os
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from speakerid.base.errors import UserError
from speakerid.recognition.results import Segment

UNKNOWN = "unknown"
"""Label of a stranger without a number."""
NUMBERED = re.compile(r"stranger[ _]\d+")
"""Labels of strangers with numbers, in text and in fields without blanks."""
ABSENT = "<NA>"
"""Value of an empty field in RTTM and CTM."""


def check_names(names: Sequence[str], bundle: Path) -> None:
    """Check that no speaker has a name that timelines give to strangers.

    Raises:
        UserError: a speaker has; the message has the command that renames the speaker.
    """
    for name in names:
        if name == UNKNOWN or NUMBERED.fullmatch(name):
            raise UserError(
                f"{bundle}: found a speaker called {name!r}, which in a timeline means a stranger; rename the speaker: "
                f"speakerid rename {bundle} {shlex.quote(name)} NEW"
            )


def label_of(segment: Segment) -> str:
    """Name of the speaker of a segment, or `stranger 1`, or `unknown` for a stranger without a number."""
    if segment.name is not None:
        return segment.name
    return UNKNOWN if segment.stranger is None else f"stranger {segment.stranger}"


def clock(seconds: float) -> str:
    """Hours, minutes and seconds with two decimals."""
    hundredths = round(seconds * 100)
    minutes, rest = divmod(hundredths, 6000)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest // 100:02d}.{rest % 100:02d}"


def file_ids(paths: Sequence[Path]) -> dict[Path, str]:
    """A unique file id without blanks for every recording.

    Ids are the names without extensions, with blanks as underscores. If two of them are equal, all ids have the first
    of these forms in which they are unique: blanks escaped as %20, with the extension, the path in the common folder.

    Args:
        paths: distinct paths of recordings.
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
    ids = next(form for form in forms if len(set(form)) == len(paths))  # the last form is always unique
    return dict(zip(paths, ids, strict=True))


def speaker_labels(names: Sequence[str]) -> dict[str | None, str]:
    """A unique label without blanks for every speaker, and for None, a stranger without a number.

    No label is that of a stranger with a number, `stranger_1`.

    Args:
        names: names of the speakers, without `UNKNOWN`, see `check_names`.
    """
    for write in (_joined, _escaped):
        labels = {name: write(name) for name in names}
        if len({UNKNOWN, *labels.values()}) == len(labels) + 1 and not any(map(NUMBERED.fullmatch, labels.values())):
            break
    return {**labels, None: UNKNOWN}


def _joined(text: str) -> str:
    """Replace blanks by underscores, which is how such names are usually written."""
    return _encoded("_".join(text.split()) or "_", lambda c: not c.isprintable())


def _escaped(text: str) -> str:
    """Escape blanks and percent signs, so that different texts stay different."""
    return _encoded(text, lambda c: c.isspace() or not c.isprintable() or c == "%")


def _encoded(text: str, needed: Callable[[str], bool]) -> str:
    """Escape characters that a field cannot have, as in a URL."""
    if text == ABSENT:
        return "%3CNA%3E"
    return "".join("".join(f"%{byte:02X}" for byte in _bytes(c)) if needed(c) else c for c in text)


def _bytes(character: str) -> bytes:
    try:
        return os.fsencode(character)
    except UnicodeEncodeError:  # half of a surrogate pair, in a name that came from JSON
        return character.encode("utf-8", "surrogatepass")
