"""Many jobs on all cores, in order, with a progress bar; a job that kills its process takes no other with it."""

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar

from threadpoolctl import threadpool_limits

from speakerid.bars import bar
from speakerid.errors import UserError
from speakerid.memory import keep_freed_memory

ONE_THREAD: Mapping[str, str] = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)
"""Read by the libraries when they are loaded, which may be before any line of ours in a process."""

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")


def parallel_map(
    function: Callable[[_Job], _Result],
    jobs: Sequence[_Job],
    title: str,
    unit: str,
    workers: int | None = None,
    weight: Callable[[_Job], int] = lambda _: 1,
    died: Callable[[Sequence[_Job]], Iterable[_Result]] | None = None,
) -> Iterator[_Result]:
    """`map(function, jobs)`, computed in worker processes of one thread each.

    Args:
        function: of a module, so that a new process can import it.
        jobs: its arguments.
        title: in front of the progress bar.
        unit: what the bar counts, in the plural.
        workers: processes; by default one for each core this process may use, 0 for none beside this one.
        weight: how much of the bar a job is.
        died: the results of the jobs that were at work, or next in turn, when a process died. With one worker it is
            the very one that kills.

    Raises:
        UserError: a process died, and `died` does not say what that means.
    """
    count = processors() if workers is None else workers
    with bar(sum(map(weight, jobs)), title, unit) as advance:
        results = _here(function, jobs) if count == 0 else _in_processes(function, jobs, count, died)
        for job, result in zip(jobs, results, strict=True):
            advance(weight(job))
            yield result


def processors() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _here(function: Callable[[_Job], _Result], jobs: Sequence[_Job]) -> Iterator[_Result]:
    # Sums over several threads differ in their last bits from those of one, which is what a worker has.
    with threadpool_limits(1):
        yield from map(function, jobs)


def _in_processes(
    function: Callable[[_Job], _Result],
    jobs: Sequence[_Job],
    count: int,
    died: Callable[[Sequence[_Job]], Iterable[_Result]] | None,
) -> Iterator[_Result]:
    # A fork would inherit the threads of libraries in an unknown state; a fresh process cannot.
    context = multiprocessing.get_context("spawn")
    pending = deque(jobs)
    # One worker holds one job, so that it is clear which one killed it.
    window = 1 if count == 1 and died else 4 * count
    while pending:
        running: deque[tuple[Future[_Result], _Job]] = deque()
        pool = ProcessPoolExecutor(min(count, len(pending)), context, initializer=_start_worker)
        try:
            while pending or running:
                while pending and len(running) < window:
                    with _environment(ONE_THREAD):  # processes start when there is work for them
                        running.append((pool.submit(function, pending[0]), pending.popleft()))
                result = running[0][0].result()
                running.popleft()
                yield result
        except BrokenProcessPool as error:
            if died is None:
                raise UserError("a worker process died; is the memory full? --workers 1 needs less") from error
        finally:
            pool.shutdown(cancel_futures=True)
        if running and died:  # what the dead process and its neighbours had done is done again
            yield from died([job for _, job in running])


def _start_worker() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)  # decoders in C print of what they dislike, past Python
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    keep_freed_memory()
    parent = multiprocessing.parent_process()
    if parent is not None:

        def follow() -> None:
            parent.join()
            os._exit(1)  # killed without a word, the parent would leave its workers waiting for ever

        threading.Thread(target=follow, daemon=True).start()


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """What is set here, the processes that start meanwhile inherit."""
    former = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in former.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
