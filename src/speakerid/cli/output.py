"""What commands print."""

import os


def first_process() -> bool:
    """Whether this process speaks for all that a launcher started."""
    return os.environ.get("RANK", "0") == "0"


def say(text: str) -> None:
    """Print a line once, however many processes share the command."""
    if first_process():
        print(text)
