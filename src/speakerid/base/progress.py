"""Progress of long work: bars on a terminal, lines elsewhere; messages of a run, plain, quiet or as JSON."""

import errno
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from tqdm import tqdm

from speakerid.base.printing import visible

Style = Literal["auto", "quiet", "json", "silent"]
"""`auto`: progress bars on a terminal, plain lines elsewhere; `quiet`: warnings only; `json`: the records of
metrics.jsonl and the messages on stdout, an object per line; `silent`: nothing, for all processes but the first."""
REFRESH_SECONDS = 0.2
"""Interval between updates of a bar; reading its figures waits for the device."""
LINE_SECONDS = 60.0
"""Interval between lines if there is no terminal."""


class Bar:
    """Progress bar, shown while a `with` block runs; without a terminal, a line a minute and one at the end.

    Args:
        title: what is being done.
        unit: name of the units.
        total: number of units to do.
        done: number of units done before.
        shown: whether to show progress at all.
    """

    def __init__(self, title: str, unit: str, total: int, done: int = 0, shown: bool = True) -> None:
        self._terminal = shown and sys.stderr.isatty()
        self._lines = shown and not self._terminal
        self._seconds = REFRESH_SECONDS if self._terminal else LINE_SECONDS
        self._next = time.monotonic() + self._seconds
        # ncols=0 shows figures without a bar; some pseudo-terminals report 0 rows, for which tqdm would draw nothing.
        self._bar = tqdm(
            total=total, initial=done, desc=title, unit=f" {unit}", ncols=0, nrows=20, delay=self._seconds,
            disable=not self._terminal,
        )  # fmt: skip
        self._began = time.monotonic()
        self._title, self._unit, self._total, self._first, self.done = title, unit, total, done, done

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *_: object) -> None:
        with _ignore_closed_terminal():
            self._bar.close()  # leaves it on the screen

    def advance(self, count: int = 1) -> None:
        """Add to the number of units done, and show it if it is time to."""
        self.update(count)
        if self.due:
            self.show()

    def update(self, count: int = 1) -> None:
        """Add to the number of units done; then call `show` with figures if `due`."""
        self.done = min(self.done + count, self._total)

    @property
    def due(self) -> bool:
        """Whether it is time to call `show`."""
        if not self._terminal and not self._lines:
            return False
        return self.done == self._total or time.monotonic() >= self._next

    @property
    def rate(self) -> float:
        """Units per second since the bar was created."""
        return (self.done - self._first) / (time.monotonic() - self._began)

    def show(self, **figures: str | int) -> None:
        """Draw the bar with these figures, or print it as a line."""
        self._next = time.monotonic() + self._seconds
        postfix = ", ".join(f"{name}={value}" for name, value in figures.items())
        if self._terminal:
            with _ignore_closed_terminal():
                self._bar.set_postfix_str(postfix, refresh=False)
                self._bar.update(self.done - self._bar.n)
                self._bar.refresh()
        elif self._lines:
            seconds = time.monotonic() - self._began
            line = tqdm.format_meter(
                self.done, self._total, seconds, 0, prefix=self._title, unit=f" {self._unit}", postfix=postfix,
                initial=self._first,
            )  # fmt: skip
            print(line, file=sys.stderr, flush=True)


class Progress:
    """Progress output of a run. If the terminal is closed, the run continues silently.

    Args:
        style: see `Style`.
        part: name of the part of the run, if it is the progress of a part.
    """

    def __init__(self, style: Style = "auto", part: str = "") -> None:
        self._style: Style = style
        self._part = part

    def for_part(self, part: str) -> "Progress":
        """Progress of a part of the run, whose name prefixes every line and bar."""
        return Progress(self._style, part)

    @property
    def is_verbose(self) -> bool:
        """Whether other code may print lines and draw bars too."""
        return self._style == "auto"

    def say(self, text: str) -> None:
        """Print an informational message."""
        if self._part:
            text = f"{self._part}: {text}"
        with _ignore_closed_terminal():
            if self._style == "auto":
                tqdm.write("\n".join(visible(line) for line in text.split("\n")), file=sys.stdout)
            elif self._style == "json":
                _print({"message": text})

    def warn(self, text: str) -> None:
        """Print a message that `quiet` shows too."""
        if self._style != "quiet":
            return self.say(text)
        with _ignore_closed_terminal():
            tqdm.write(f"{self._part}: {text}" if self._part else text, file=sys.stderr)
        return None

    def record(self, record: dict[str, Any]) -> None:
        """Print a record of metrics.jsonl in the `json` style."""
        if self._style == "json":
            with _ignore_closed_terminal():
                _print({"of": self._part, **record} if self._part else record)

    def bar(self, title: str, unit: str, total: int, done: int = 0) -> Bar:
        """A progress bar in this style."""
        return Bar(f"{self._part}: {title}" if self._part else title, unit, total, done, shown=self.is_verbose)


@contextmanager
def _ignore_closed_terminal() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.EIO:  # error of a closed terminal
            raise


def _print(content: dict[str, Any]) -> None:
    print(json.dumps(content), flush=True)


def duration(seconds: float) -> str:
    """Format a duration as h:mm:ss."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
