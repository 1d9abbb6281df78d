"""How far long work has come: a bar on a terminal, and one line at the end where a log is kept."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


@contextmanager
def bar(total: int, title: str, unit: str, shown: bool = True) -> Iterator[Callable[[int], object]]:
    """Yield what is to be called with the count of units done since the last call.

    Args:
        total: units there are to do.
        title: what is done, in front of the bar.
        unit: of what, in the plural.
        shown: whether to tell at all.
    """
    if shown and sys.stderr.isatty():
        with tqdm(total=total, desc=title, unit=f" {unit}", ncols=0) as drawn:
            yield drawn.update
        return
    began, done = time.monotonic(), 0

    def advance(count: int) -> None:
        nonlocal done
        done += count

    yield advance
    if shown:
        print(f"{title}: {done} {unit} in {time.monotonic() - began:.0f} s", file=sys.stderr)
