"""Progress of long work: a bar on a terminal, otherwise one line at the end."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


@contextmanager
def bar(total: int, title: str, unit: str, shown: bool = True) -> Iterator[Callable[[int], object]]:
    """Yield a function to call with the number of units done since its last call.

    Args:
        total: number of units to do.
        title: what is being done, shown before the bar.
        unit: name of the units, in the plural.
        shown: whether to show progress at all.
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
