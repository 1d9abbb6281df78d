"""Names that a speaker of a bundle can have."""

import re
import unicodedata

from speakerid.base.errors import UserError
from speakerid.corpus.utterances import COMPANY

LONGEST_NAME = 100
RESERVED = re.compile(r"(unknown|stranger)[ _-]*\d*|no[ _-]?body|silent|broken|too short")
"""Reserved names, which answers use instead of a name."""


def check_name(name: str) -> None:
    """Check the name of a speaker.

    Raises:
        UserError: the name is empty, too long, reserved, or has characters that cannot be printed in a line.
    """
    if (
        not isinstance(name, str)
        or not 1 <= len(name) <= LONGEST_NAME
        or name != name.strip()
        or not name.isprintable()
    ):
        raise UserError(
            f"name: found {name!r:.60}, expected 1 to {LONGEST_NAME} printable characters without blanks at the ends"
        )
    if name.startswith(COMPANY):
        raise UserError(f"name: found {name!r}, but names of company begin with {COMPANY}; choose another")
    if RESERVED.fullmatch(unicodedata.normalize("NFKC", name).casefold()):
        raise UserError(f"name: found {name!r}, which answers use instead of a name; choose another")
