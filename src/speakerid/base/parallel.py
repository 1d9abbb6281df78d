"""Ordered parallel map with a progress bar, which survives jobs that kill their process."""

import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import wait
from typing import Generic, TypeVar

from threadpoolctl import threadpool_limits

from speakerid.base.errors import UserError
from speakerid.base.progress import Bar
from speakerid.base.worker import ProcessDied, Worker

MAX_FAILED_STARTS = 10
"""Number of processes killed by the system before their first job that raises an error."""

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")
_OnDeath = Callable[[_Job, int], _Result]


def parallel_map(
    function: Callable[[_Job], _Result],
    jobs: Sequence[_Job],
    title: str,
    unit: str,
    workers: int | None = None,
    weight: Callable[[_Job], int] = lambda _: 1,
    on_death: _OnDeath[_Job, _Result] | None = None,
    retry: bool = True,
) -> Iterator[_Result]:
    """Compute `map(function, jobs)` in worker processes of one thread each.

    A process that the system kills for lack of memory is not replaced while others are running. Its job is retried at
    the end, in the only remaining process.

    Args:
        function: module-level function, so that a new process can import it.
        jobs: arguments of `function`.
        title: title of the progress bar.
        unit: unit of the progress bar, in the plural.
        workers: number of processes. Default: one per core that this process may use. 0 computes in this process.
        weight: progress that a job counts for.
        on_death: computes the result of a job that killed its process again, from the job and the exit code.
        retry: retry a job that killed its process; if False, `on_death` is called at once.

    Raises:
        UserError: a job killed its process in the retry as well, and there is no `on_death`; or no process can start.
    """
    count = processors() if workers is None else workers
    with Bar(title, unit, sum(map(weight, jobs))) as bar:
        results = (
            _map_in_process(function, jobs)
            if count == 0
            else _WorkerPool(function, jobs, count, on_death, retry).results()
        )
        for job, result in zip(jobs, results, strict=True):
            bar.advance(weight(job))
            yield result


def processors() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _map_in_process(function: Callable[[_Job], _Result], jobs: Sequence[_Job]) -> Iterator[_Result]:
    # One thread, like a worker: sums over several threads differ in their last bits.
    with threadpool_limits(1):
        yield from map(function, jobs)


class _WorkerPool(Generic[_Job, _Result]):
    """Worker processes and the jobs they share; see `parallel_map`."""

    def __init__(
        self,
        function: Callable[[_Job], _Result],
        jobs: Sequence[_Job],
        count: int,
        on_death: _OnDeath[_Job, _Result] | None,
        retry: bool,
    ) -> None:
        self._function = function
        self._jobs = jobs
        self._count = min(count, len(jobs))
        self._on_death = on_death
        self._retry = retry
        self._starts = MAX_FAILED_STARTS
        self._pending = deque(range(len(jobs)))
        self._retries = deque[int]()
        self._retried = set[int]()
        self._idle: list[Worker[_Job, _Result]] = []
        self._busy: dict[Worker[_Job, _Result], int] = {}
        self._done: dict[int, _Result] = {}

    def results(self) -> Iterator[_Result]:
        """Yield the results in job order."""
        try:
            for index in range(len(self._jobs)):
                while index not in self._done:
                    self._start_jobs()
                    self._collect()
                yield self._done.pop(index)
        finally:
            for worker in (*self._idle, *self._busy):
                worker.stop()

    def _start_jobs(self) -> None:
        if self._retries and not self._pending and not self._busy:
            self._count = 1
            self._pending.append(self._retries.popleft())
        while self._idle and len(self._idle) + len(self._busy) > self._count:
            self._idle.pop().stop()
        while self._pending and len(self._busy) < self._count:
            worker = self._idle.pop() if self._idle else self._start_worker()
            if worker:
                self._busy[worker] = self._pending.popleft()
                worker.send(self._jobs[self._busy[worker]])

    def _start_worker(self) -> Worker[_Job, _Result] | None:
        try:
            return Worker(self._function)
        except OSError as error:  # no memory for another process
            self._reduce_workers(error)

    def _reduce_workers(self, reason: Exception) -> None:
        """Continue with one process fewer after one could not start."""
        if self._count == 1:
            raise UserError(
                f"no worker process can start ({reason}); free memory and run it again; in a script, run it below "
                "`if __name__ == '__main__':`"
            ) from reason
        self._count -= 1

    def _collect(self) -> None:
        """Wait until a job has finished or killed its process."""
        ready = set(wait([worker.connection for worker in self._busy]))
        for worker in [worker for worker in self._busy if worker.connection in ready]:
            try:
                if worker.has_result():
                    self._done[self._busy.pop(worker)] = worker.result
                    self._idle.append(worker)
            except ProcessDied as death:
                index = self._busy.pop(worker)
                worker.stop()
                self._handle_death(index, death)

    def _handle_death(self, index: int, death: ProcessDied) -> None:
        """Retry a job whose process has died, or give it the result of `on_death`."""
        if death.code == -signal.SIGKILL:
            self._count = max(1, self._count - 1)
        if not death.started:
            self._starts -= 1
            if death.code != -signal.SIGKILL or self._starts <= 0:
                self._reduce_workers(death)
            self._pending.appendleft(index)
            return
        hangs = death.code == -signal.SIGALRM  # killed by its own timer
        if self._retry and index not in self._retried and not hangs:
            self._retried.add(index)
            self._retries.append(index)
        elif self._on_death:
            self._done[index] = self._on_death(self._jobs[index], death.code)
        else:
            raise UserError(
                f"a worker process died twice in the same job, the second time alone ({death}); free memory and run "
                "it again"
            )
