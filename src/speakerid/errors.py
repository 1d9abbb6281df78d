"""What a user can get wrong, said in one line each: file, field, what was found, what was expected, what to do."""

from collections.abc import Sequence

from pydantic import ValidationError

SHOWN = 20


class UserError(Exception):
    """A mistake the user can mend; the command line prints it without a traceback and exits with status 2."""


class CorpusError(UserError):
    """Every problem found in a corpus at once, the first 20 of them shown.

    Args:
        where: the folder or file that holds the problems.
        problems: one line each.
    """

    def __init__(self, where: object, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        count = len(self.problems)
        lines = [f"{where}: {count} problem{'s' if count != 1 else ''}", *self.problems[:SHOWN]]
        if count > SHOWN:
            lines.append(f"… and {count - SHOWN} more")
        super().__init__("\n  ".join(lines))


def describe(error: ValidationError, skip: Sequence[object] = ()) -> list[tuple[str, str]]:
    """Pydantic's complaints as (dotted field, reason with the value found).

    Args:
        error: what pydantic raised.
        skip: parts of a location that are no field of the file (the tags of a discriminated union).
    """
    lines = []
    for problem in error.errors():
        field = ".".join(str(part) for part in problem["loc"] if part not in skip)
        reason = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "missing":
            reason = "missing"
        elif not isinstance(problem["input"], (dict, list)):
            reason = f"found {problem['input']!r}: {reason}"
        lines.append((field, reason))
    return lines
