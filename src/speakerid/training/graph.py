"""A training step captured as a CUDA graph: hundreds of kernels for the price of one launch."""

from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor

WARM_UP = 3
"""Steps done as ever before the capture, so that every lazy buffer exists (PyTorch's notes on CUDA graphs)."""


class StepGraph:
    """Replays `work` on the batches it is given, by a graph for each shape of them.

    The first steps of a shape run as they are and the next one is captured; all of them learn, so nothing has to be
    undone.

    Args:
        work: what a step does to (features, labels), and maybe more tensors, without waiting for the device.
    """

    def __init__(self, work: Callable[..., None]) -> None:
        self._work = work
        self._done: Counter[torch.Size] = Counter()
        self._graphs: dict[torch.Size, tuple[torch.cuda.CUDAGraph, tuple[Tensor, ...]]] = {}
        self._stream = torch.cuda.Stream()
        self._memory = torch.cuda.graph_pool_handle()  # one for all shapes, of which only one is at work at a time
        self.reason = ""
        """Why the capture failed."""

    def __call__(self, *batch: Tensor) -> bool:
        """Do the step; false where it had to be done without a graph because the capture failed."""
        shape = batch[0].shape
        if self._done[shape] < WARM_UP:
            self._done[shape] += 1
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):  # capturing needs what was warmed up on a side stream
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
