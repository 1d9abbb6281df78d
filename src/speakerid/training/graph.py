"""A training step captured as one CUDA graph: hundreds of kernels for the price of one launch."""

from collections.abc import Callable

import torch
from torch import Tensor

WARM_UP = 3
"""Steps done as ever before the capture, so that every lazy buffer exists (PyTorch's notes on CUDA graphs)."""


class StepGraph:
    """Replays `work` on the batches it is given.

    The first steps run as they are and the next one is captured; all of them learn, so nothing has to be undone.

    Args:
        work: what a step does to (features, labels) of one shape, without waiting for the device.
    """

    def __init__(self, work: Callable[[Tensor, Tensor], None]) -> None:
        self._work = work
        self._done = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._stream = torch.cuda.Stream()
        self.reason = ""
        """Why the capture failed."""

    def __call__(self, features: Tensor, labels: Tensor) -> bool:
        """Do the step; false where it had to be done without a graph because the capture failed."""
        if self._graph is None and self._done < WARM_UP:
            self._done += 1
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):  # capturing needs what was warmed up on a side stream
                self._work(features, labels)
            torch.cuda.current_stream().wait_stream(self._stream)
            return True
        if self._graph is None:
            self._features, self._labels = features.clone(), labels.clone()
            graph = torch.cuda.CUDAGraph()
            try:
                with torch.cuda.graph(graph):
                    self._work(self._features, self._labels)
            except RuntimeError as error:
                self.reason = str(error).splitlines()[0]
                torch.cuda.synchronize()
                self._work(features, labels)
                return False
            self._graph = graph
        self._features.copy_(features)
        self._labels.copy_(labels)
        self._graph.replay()
        return True
