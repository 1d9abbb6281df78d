"""Many small jobs on all cores, in order, with a progress bar."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch
from tqdm import tqdm

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")


def parallel_map(
    function: Callable[[_Job], _Result], jobs: Sequence[_Job], title: str, unit: str, workers: int | None = None
) -> Iterator[_Result]:
    """`map(function, jobs)`, computed in worker processes.

    Args:
        function: of a module, so that a new process can import it.
        jobs: its arguments.
        title: in front of the progress bar.
        unit: what one job is.
        workers: processes; by default one for each core this process may use.
    """
    count = min(workers or os.cpu_count() or 1, max(1, len(jobs)))
    with tqdm(total=len(jobs), desc=title, unit=f" {unit}", ncols=0) as bar:
        if count == 1:
            with _one_thread():
                for job in jobs:
                    yield function(job)
                    bar.update()
            return
        # A fork would inherit torch's threads in an unknown state; a fresh process cannot.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(count, context, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            chunk = max(1, min(16, len(jobs) // (8 * count)))
            for result in pool.map(function, jobs, chunksize=chunk):
                bar.update()
                yield result


@contextmanager
def _one_thread() -> Iterator[None]:
    # Sums over several threads differ in their last bits from those of one, which is what a worker has.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
