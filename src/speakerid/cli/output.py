"""What commands print."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from speakerid.errors import UserError, message
from speakerid.printing import visible


def first_process() -> bool:
    """Whether this process speaks for all that a launcher started."""
    return os.environ.get("RANK", "0") == "0"


def say(text: str) -> None:
    """Print lines once, however many processes share the command."""
    if first_process():
        print("\n".join(visible(line) for line in text.split("\n")))


def json_line(content: object) -> str:
    """One line of JSON that the terminal can be given and that loses nothing: names read back as they were."""
    text = json.dumps(content, ensure_ascii=False)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
        return text if text.isprintable() else json.dumps(content)
    except UnicodeEncodeError:
        return json.dumps(content)


def complain(problem: UserError | str, kind: str = "error") -> None:
    """Print one line to standard error, and go on."""
    text = message(problem) if isinstance(problem, UserError) else visible(problem)
    print(f"{kind}: {text}", file=sys.stderr)


@contextmanager
def replacing(path: Path) -> Iterator[None]:
    """Say after a file was replaced that it had other names: hard links, which keep its former content."""
    others = path.stat().st_nlink - 1
    yield
    if others > 0:
        names = (
            "another name, a hard link, which keeps" if others == 1 else f"{others} other names, hard links, which keep"
        )
        complain(f"{path}: had {names} the former content", "note")
