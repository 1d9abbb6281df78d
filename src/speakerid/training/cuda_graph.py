"""Capture of a training step as a CUDA graph, which launches its hundreds of kernels at once."""

from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor

from speakerid.base.distributed import is_shared

WARM_UP = 3
"""Ordinary steps before the capture, so that all lazily allocated buffers exist (PyTorch's notes on CUDA graphs)."""


def can_capture(device: torch.device) -> bool:
    """Whether steps on the device can be captured: on a GPU, in a run of one process."""
    return device.type == "cuda" and not is_shared()


class StepGraph:
    """Replays `work` on batches, with one graph per shape.

    The first steps of a shape run without a graph and the next one is captured. All of them are real training steps, so
    nothing has to be undone. Random numbers are those of the generator's seed at each step, captured or not.

    Args:
        work: computes a step on (features, labels) and optional further tensors, without waiting for the device.
        device: GPU of the step, which need not be PyTorch's current one.
    """

    def __init__(self, work: Callable[..., None], device: torch.device) -> None:
        self._work = work
        self._device = device
        self._done: Counter[torch.Size] = Counter()
        self._graphs: dict[torch.Size, tuple[torch.cuda.CUDAGraph, tuple[Tensor, ...]]] = {}
        self._stream = torch.cuda.Stream(device)
        self._memory = torch.cuda.graph_pool_handle()  # shared, since only one graph runs at a time
        self.reason = ""
        """Why the capture failed."""

    def __call__(self, *batch: Tensor) -> bool:
        """Run a step.

        Returns:
            False if the step did not run because its capture failed. Then nothing has changed but the state of the
            random numbers, and further steps have to run without this object.
        """
        shape = batch[0].shape
        with torch.cuda.device(self._device):  # a graph of another device than the current one would be empty
            if self._done[shape] < WARM_UP:
                self._run_aside(batch)
                self._done[shape] += 1
                return True
            if shape not in self._graphs and not self._capture(batch):
                return False
            graph, inputs = self._graphs[shape]
            for held, tensor in zip(inputs, batch, strict=True):
                held.copy_(tensor)
            graph.replay()
        return True

    def _run_aside(self, batch: tuple[Tensor, ...]) -> None:
        """Run an ordinary step on a side stream, which a capture requires of those before it."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            self._work(*batch)
        torch.cuda.current_stream().wait_stream(self._stream)

    def _capture(self, batch: tuple[Tensor, ...]) -> bool:
        graph, inputs = torch.cuda.CUDAGraph(), tuple(tensor.clone() for tensor in batch)
        try:
            # The outer context restores the stream, which PyTorch does not if a capture fails. By default a capture
            # fails if another thread allocates memory, as the one that gathers the next batches does.
            with (
                torch.cuda.stream(torch.cuda.current_stream()),
                torch.cuda.graph(graph, self._memory, capture_error_mode="thread_local"),
            ):
                self._work(*inputs)
        except RuntimeError as error:
            # The end of a failed capture raises an error of its own, without the reason.
            first = error.__context__ if isinstance(error.__context__, RuntimeError) else error
            self.reason = str(first).splitlines()[0]
            torch.cuda.synchronize()
            # In some versions the generator still waits for the end of the capture and refuses to draw.
            generator = torch.cuda.default_generators[self._device.index]
            generator.graphsafe_set_state(generator.clone_state())
            return False
        self._graphs[inputs[0].shape] = graph, inputs
        return True
