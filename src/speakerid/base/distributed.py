"""Processes of one run and their communication. A single process is rank 0 of 1 and needs no network.

`torchrun` (or anything else that sets RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT) starts the processes.
"""

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import PrefixStore  # pyright: ignore[reportPrivateImportUsage]
from torch.distributed.rendezvous import rendezvous

from speakerid.base.errors import LostProcess, UserError

PATIENCE = timedelta(minutes=30)
"""Timeout of the communication; packing a large corpus for the first time takes minutes."""

_LOST_MESSAGES = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "Socket closed")
"""Messages of gloo when a process is lost; it has no exception type for that."""

_Result = TypeVar("_Result")


def rank() -> int:
    """Rank of this process, 0 if not distributed."""
    return dist.get_rank() if is_shared() else 0


def world_size() -> int:
    """Number of processes of the run."""
    return dist.get_world_size() if is_shared() else 1


def local_rank() -> int:
    """Rank of this process on its machine, which is the index of its GPU."""
    return int(os.environ.get("LOCAL_RANK", 0))


def is_shared() -> bool:
    """Whether the run has more than one process."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def was_restarted() -> bool:
    """Whether torchrun has restarted the processes after one was lost."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) > 0


@contextmanager
def process_group() -> Iterator[None]:
    """Join the other processes of the run, if torchrun started any.

    CPU tensors are sent with gloo, GPU tensors with NCCL.

    Raises:
        UserError: the other processes do not answer.
        LostProcess: another process ended while the block ran.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1 or dist.is_initialized():
        yield
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        store, number, count = next(rendezvous("env://", timeout=PATIENCE))
        if os.environ.get("LOCAL_WORLD_SIZE") == os.environ["WORLD_SIZE"]:
            # torchrun reuses its store after a restart, with the addresses of the dead processes in it
            # (github.com/pytorch/pytorch/issues/135712); its restart count is reliable on a single machine only.
            store = PrefixStore(f"start {os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)
        dist.init_process_group(backend, store=store, rank=number, world_size=count, timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"torch.distributed: {str(error).splitlines()[0]}; start the processes with "
            "`torchrun --nproc-per-node N -m speakerid train …`"
        ) from error
    try:
        yield
        dist.barrier()  # no process leaves while another still listens
    except RuntimeError as error:
        if any(sign in str(error) for sign in _LOST_MESSAGES):
            raise LostProcess("another process of the run has ended") from error
        raise
    finally:
        gc.collect()  # an object that still holds the group would stop its threads after the interpreter, and abort
        dist.destroy_process_group()


def share(count: int) -> slice:
    """This process's share of `count` consecutive items; shares differ by at most one item."""
    return slice(count * rank() // world_size(), count * (rank() + 1) // world_size())


def summed(tensor: Tensor) -> Tensor:
    """Sum of the tensor over all processes; gradients flow back to all of them."""
    return _Sum.apply(tensor) if is_shared() else tensor


class _Sum(torch.autograd.Function):
    """All-reduce sum; every process's input enters every process's output, so gradients are summed too."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        total = tensor.detach().clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return summed(gradient.contiguous())


def highest(tensor: Tensor) -> Tensor:
    """Elementwise maximum of the tensor over all processes."""
    if not is_shared():
        return tensor
    result = tensor.clone()
    dist.all_reduce(result, dist.ReduceOp.MAX)
    return result


def from_rank_0(function: Callable[[], _Result]) -> _Result:
    """Call the function on rank 0 and return its result on every rank; a UserError is raised on every rank too."""
    if not is_shared():
        return function()
    answer: list[Any] = [None, None]
    if rank() == 0:
        try:
            answer[0] = function()
        except UserError as error:
            answer[1] = str(error)
    dist.broadcast_object_list(answer)
    if answer[1] is not None:
        raise UserError(answer[1])
    return answer[0]


def gathered(mine: _Result) -> list[_Result]:
    """The objects of all processes, by rank, in every process."""
    if not is_shared():
        return [mine]
    objects: list[Any] = [None] * world_size()
    dist.all_gather_object(objects, mine)
    return objects


@contextmanager
def first_on_each_machine() -> Iterator[None]:
    """Run the block in one process of each machine first, then in the others, which find what it left on the disk."""
    if is_shared() and local_rank() != 0:
        dist.barrier()
    try:
        yield
    finally:
        if is_shared() and local_rank() == 0:
            dist.barrier()
