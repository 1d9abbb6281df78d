"""Training speed of a run."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Measures steps per second and the share of the time spent waiting for batches."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.steps = 0
        self._waited = 0.0
        self._began = time.perf_counter()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self._waited += time.perf_counter() - began

    def read(self) -> dict[str, float]:
        """Figures since the last call, which also restarts the measurement."""
        seconds = time.perf_counter() - self._began
        figures = {"steps_per_second": round(self.steps / seconds, 3), "data_wait": round(self._waited / seconds, 4)}
        self.restart()
        return figures
