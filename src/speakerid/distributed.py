"""The processes of one run and what they tell each other. A process alone is rank 0 of 1, and needs no network.

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

from speakerid.errors import LostProcess, UserError

PATIENCE = timedelta(minutes=30)
"""A process that has not answered for so long is given up: packing a large corpus for the first time takes minutes."""

_LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "Socket closed")
"""What gloo says then; it has no exception of its own."""

_Result = TypeVar("_Result")


def rank() -> int:
    """Of this process, 0 where it is alone."""
    return dist.get_rank() if is_shared() else 0


def world_size() -> int:
    """Processes of the run."""
    return dist.get_world_size() if is_shared() else 1


def local_rank() -> int:
    """Of this process on its machine: which of its GPUs it takes."""
    return int(os.environ.get("LOCAL_RANK", 0))


def is_shared() -> bool:
    """Whether there are other processes."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def was_restarted() -> bool:
    """Whether torchrun started these processes again after one was lost."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) > 0


@contextmanager
def process_group() -> Iterator[None]:
    """Join the other processes that torchrun started, if it did.

    CPU tensors travel by gloo, GPU tensors by NCCL.

    Raises:
        UserError: the others do not answer.
        LostProcess: one of them ended while the block ran.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1 or dist.is_initialized():
        yield
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        store, number, count = next(rendezvous("env://", timeout=PATIENCE))
        if os.environ.get("LOCAL_WORLD_SIZE") == os.environ["WORLD_SIZE"]:
            # torchrun keeps one store over its restarts, with the addresses of the dead in it
            # (github.com/pytorch/pytorch/issues/135712); its count of restarts is of use on one machine only.
            store = PrefixStore(f"start {os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)
        dist.init_process_group(backend, store=store, rank=number, world_size=count, timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"torch.distributed: {str(error).splitlines()[0]}; start the processes with "
            "`torchrun --nproc-per-node N scripts/train.py …`"
        ) from error
    try:
        yield
        dist.barrier()  # nobody leaves while another still listens
    except RuntimeError as error:
        if any(sign in str(error) for sign in _LOST):
            raise LostProcess("another process of the run has ended") from error
        raise
    finally:
        gc.collect()  # what still holds the group would end its threads after the interpreter, which aborts the process
        dist.destroy_process_group()


def share(count: int) -> slice:
    """This process's part of `count` things in a row; parts differ by one at most."""
    return slice(count * rank() // world_size(), count * (rank() + 1) // world_size())


def summed(tensor: Tensor) -> Tensor:
    """The sum of this tensor over all processes; gradients flow back to every one of them."""
    return _Sum.apply(tensor) if is_shared() else tensor


class _Sum(torch.autograd.Function):
    """Every process's summand goes into every process's sum, so gradients are summed as values are."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        total = tensor.detach().clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return summed(gradient.contiguous())


def highest(tensor: Tensor) -> Tensor:
    """The highest of this tensor over all processes, element by element."""
    if not is_shared():
        return tensor
    result = tensor.clone()
    dist.all_reduce(result, dist.ReduceOp.MAX)
    return result


def from_rank_0(function: Callable[[], _Result]) -> _Result:
    """What the function returns on rank 0, on every rank; what it raises there is raised everywhere."""
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
    """What every process has, in the order of their ranks, in every process."""
    if not is_shared():
        return [mine]
    everybody_s: list[Any] = [None] * world_size()
    dist.all_gather_object(everybody_s, mine)
    return everybody_s


@contextmanager
def first_on_each_machine() -> Iterator[None]:
    """The block runs in one process of each machine first, for what it leaves on the disk, and then in the others."""
    if is_shared() and local_rank() != 0:
        dist.barrier()
    try:
        yield
    finally:
        if is_shared() and local_rank() == 0:
            dist.barrier()
