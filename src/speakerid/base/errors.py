"""Errors for users, one line each: file, field, what was found, what was expected, what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from speakerid.base.printing import short, visible

if TYPE_CHECKING:
    from pydantic import ValidationError

SHOWN = 20
MEMORY_REMEDY = (
    "the process ran out of memory or threads; free memory, or raise the limits on address space and processes "
    "(ulimit -v, ulimit -u)"
)
"""Remedy for a lack of memory. PyTorch's libraries for a GPU alone take 3 GB of address space."""
_MEMORY_PHRASES = (
    "can't allocate memory",  # RuntimeError of PyTorch on a CPU
    "out of memory",  # RuntimeError of PyTorch on a GPU
    "Cannot allocate memory",  # ENOMEM of the system
    "can't start new thread",  # RuntimeError of Python, which has no room for the stack or reached the limit
    "failed to map segment",  # OSError or ImportError of the dynamic loader
)


class UserError(Exception):
    """An error that the user can fix; the command line prints it without a traceback and exits with status 2."""


class LostProcess(UserError):
    """Another process of the run has ended; that process reports why."""


class CorpusError(UserError):
    """All problems found in a corpus, of which the first 20 are shown.

    Args:
        where: folder or file with the problems.
        problems: a line for each problem.
    """

    def __init__(self, where: object, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        count = len(self.problems)
        shown = map(visible, self.problems[:SHOWN])
        lines = [f"{visible(str(where))}: {count} problem{'s' if count != 1 else ''}", *shown]
        if count > SHOWN:
            lines.append(f"… and {count - SHOWN} more")
        super().__init__("\n  ".join(lines))


def is_memory_error(error: Exception) -> bool:
    """Whether an error of Python, PyTorch or the dynamic loader means that memory ran out."""
    text = str(error)
    return isinstance(error, MemoryError) or any(phrase in text for phrase in _MEMORY_PHRASES)


def message(error: UserError) -> str:
    """Text to print, in visible characters: one line, or one line per problem of a `CorpusError`."""
    return str(error) if isinstance(error, CorpusError) else visible(str(error))


def describe(error: ValidationError) -> list[tuple[str, str]]:
    """Pydantic's errors as (dotted field, reason with the value found)."""
    lines = []
    for problem in error.errors():
        field = ".".join(str(part) for part in problem["loc"])
        reason = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "missing":
            reason = "missing"
        elif problem["type"] != "json_invalid" and not isinstance(problem["input"], (dict, list)):
            reason = f"found {short(problem['input'])}: {reason}"
        lines.append((field, reason))
    return lines
