"""Capture of a training step as a CUDA graph, which launches its hundreds of kernels at once."""

from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor

WARM_UP = 3
"""Ordinary steps before the capture, so that all lazily allocated buffers exist (PyTorch's notes on CUDA graphs)."""


class StepGraph:
    """Replays `work` on batches, with one graph per shape.

    The first steps of a shape run without a graph and the next one is captured. All of them are real training steps, so
    nothing has to be undone.

    Args:
        work: computes a step on (features, labels) and optional further tensors, without waiting for the device.
    """

    def __init__(self, work: Callable[..., None]) -> None:
        self._work = work
        self._done: Counter[torch.Size] = Counter()
        self._graphs: dict[torch.Size, tuple[torch.cuda.CUDAGraph, tuple[Tensor, ...]]] = {}
        self._stream = torch.cuda.Stream()
        self._memory = torch.cuda.graph_pool_handle()  # shared, since only one graph runs at a time
        self.reason = ""
        """Why the capture failed."""

    def __call__(self, *batch: Tensor) -> bool:
        """Run a step; returns false if it ran without a graph because the capture failed."""
        shape = batch[0].shape
        if self._done[shape] < WARM_UP:
            self._done[shape] += 1
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):  # capture requires a warm-up on a side stream
                self._work(*batch)
            torch.cuda.current_stream().wait_stream(self._stream)
            return True
        if shape not in self._graphs:
            graph, inputs = torch.cuda.CUDAGraph(), tuple(tensor.clone() for tensor in batch)
            try:
                with torch.cuda.graph(graph, self._memory):
                    self._work(*inputs)
            except RuntimeError as error:
                self.reason = str(error).splitlines()[0]
                torch.cuda.synchronize()
                self._work(*batch)
                return False
            self._graphs[shape] = graph, inputs
        graph, inputs = self._graphs[shape]
        for held, tensor in zip(inputs, batch, strict=True):
            held.copy_(tensor)
        graph.replay()
        return True
