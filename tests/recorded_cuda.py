"""CUDA graphs on a CPU: a capture records the operations instead of running them, a replay runs them again.

What a graph freezes on a GPU is frozen here too: numbers that Python computed, and the tensors that were read and
written. What a capture forbids raises: reading a value on the host.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

WAITING = {"_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select", "unique_dim", "_unique2"}
"""Operations that return values to the host."""


class RecordedGraph(TorchDispatchMode):
    """Stands for `torch.cuda.CUDAGraph`."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: list[tuple[Any, tuple[Any, ...], dict[str, Any], list[Tensor]]] = []
        self._known: dict[int, Tensor] = {}
        self._before: list[tuple[Tensor, Tensor]] = []
        self.replays = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func.overloadpacket.__name__ in WAITING:
            raise RuntimeError("operation not permitted when stream is capturing")
        for tensor in _tensors((args, kwargs)):
            if id(tensor) not in self._known:
                self._known[id(tensor)] = tensor
                self._before.append((tensor, tensor.clone()))
        result = func(*args, **kwargs)
        outputs = _tensors(result)
        self._known |= {id(tensor): tensor for tensor in outputs}
        self._calls.append((func, args, kwargs, outputs))
        return result

    @torch.no_grad()
    def restore(self) -> None:
        """Undo what was computed while recording, since a capture runs nothing."""
        for tensor, before in reversed(self._before):
            if tensor.numel():
                tensor.copy_(before)
        self._before.clear()

    @torch.no_grad()
    def replay(self) -> None:
        self.replays += 1
        for func, args, kwargs, outputs in self._calls:
            for held, new in zip(outputs, _tensors(func(*args, **kwargs)), strict=True):
                if held.untyped_storage().data_ptr() != new.untyped_storage().data_ptr():
                    held.copy_(new)


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


class RecordedCuda:
    """Replaces what `StepGraph` and the optimizers ask of `torch.cuda`, until the test ends."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.graphs: list[RecordedGraph] = []
        """Graphs of the captures that succeeded."""
        self.attempts = 0
        self.error_modes: list[str] = []
        self.devices: list[torch.device] = []
        """Devices that were made the current one."""
        self.failure: Callable[[], None] | None = None
        """Called in a capture, to make it fail."""
        self.default_stream = self.stream = _Stream()
        """Streams: PyTorch's default, and the current one."""
        self.is_capturing = False
        self.draws = True
        """Whether the generator can draw; after a failed capture it cannot, until its state is replaced."""
        for name, value in {
            "CUDAGraph": RecordedGraph,
            "graph": self._graph,
            "graph_pool_handle": object,
            "Stream": _Stream,
            "stream": self._on_stream,
            "current_stream": lambda: self.stream,
            "device": self._on_device,
            "synchronize": lambda: None,
            "is_current_stream_capturing": lambda: self.is_capturing,
            "default_generators": _Generators(self),
        }.items():
            monkeypatch.setattr(torch.cuda, name, value)
        # Optimizers refuse to be captured without a flag, and warn of the flag in ordinary steps.
        monkeypatch.setattr(
            torch.accelerator, "current_accelerator", lambda check_available=False: torch.device("cuda")
        )
        monkeypatch.setattr(
            torch.accelerator, "current_stream", lambda: SimpleNamespace(is_capturing=lambda: self.is_capturing)
        )
        monkeypatch.setattr("speakerid.training.step.can_capture", lambda device: True)

    @contextmanager
    def _on_stream(self, stream: "_Stream") -> Iterator[None]:
        before, self.stream = self.stream, stream
        try:
            yield
        finally:
            self.stream = before

    def _on_device(self, device: torch.device) -> Any:
        self.devices.append(device)
        return nullcontext()

    @contextmanager
    def _graph(self, graph: RecordedGraph, pool: object, capture_error_mode: str) -> Iterator[None]:
        self.attempts += 1
        self.error_modes.append(capture_error_mode)
        state = torch.get_rng_state()
        before, self.stream, self.is_capturing = self.stream, _Stream(), True
        try:
            with graph:
                if self.failure:
                    self.failure()
                yield
        except RuntimeError:
            self.draws = False  # and the stream of the capture stays the current one
            state = torch.Generator().manual_seed(0).get_state()  # whatever it was
            raise torch.AcceleratorError("operation failed due to a previous error during capture", 0) from None
        finally:
            self.is_capturing = False
            graph.restore()
            torch.set_rng_state(state)
        self.stream = before
        self.graphs.append(graph)


class _Stream:
    def __init__(self, device: torch.device | None = None) -> None: ...

    def wait_stream(self, other: "_Stream") -> None: ...


class _Generators:
    def __init__(self, cuda: RecordedCuda) -> None:
        self._cuda = cuda

    def __getitem__(self, index: int | None) -> "_Generators":
        return self

    def clone_state(self) -> "_Generators":
        assert not self._cuda.is_capturing
        return _Generators(self._cuda)

    def graphsafe_set_state(self, other: "_Generators") -> None:
        assert other is not self
        self._cuda.draws = True
