"""Output of commands."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from speakerid.base.errors import UserError, message
from speakerid.base.printing import visible


def first_process() -> bool:
    """Whether this is rank 0, which prints for all processes."""
    return os.environ.get("RANK", "0") == "0"


def say(text: str) -> None:
    """Print lines in rank 0 only."""
    if first_process():
        print("\n".join(visible(line) for line in text.split("\n")))


def json_line(content: object) -> str:
    """Format one line of JSON that is safe to print and preserves names exactly."""
    text = json.dumps(content, ensure_ascii=False)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
        return text if text.isprintable() else json.dumps(content)
    except UnicodeEncodeError:
        return json.dumps(content)


def complain(problem: UserError | str, kind: str = "error") -> None:
    """Print one line to standard error."""
    text = message(problem) if isinstance(problem, UserError) else visible(problem)
    print(f"{kind}: {text}", file=sys.stderr)


def named_recordings(names: Sequence[str]) -> list[Path]:
    """Find the recordings that the arguments of a command name, and report what was skipped in folders."""
    from speakerid.preparation.sources.walk import Remarks
    from speakerid.recognition.paths import find_recordings

    remarks = Remarks()
    paths = find_recordings(names, remarks)
    for line in remarks.lines():
        complain(line, "note")
    return paths


@contextmanager
def replacing(path: Path) -> Iterator[None]:
    """After the block has replaced a file, report hard links to the old file, which keep the old content."""
    others = path.stat().st_nlink - 1
    yield
    if others > 0:
        names = (
            "another name (a hard link), which keeps"
            if others == 1
            else f"{others} other names (hard links), which keep"
        )
        complain(f"{path}: had {names} the old content", "note")
