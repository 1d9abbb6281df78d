"""Moving average of the weights, which is more accurate than the weights of any single step."""

import copy

import torch
from torch import Tensor, nn


class MovingAverage:
    """Exponential moving average of weights and running statistics (Tarvainen and Valpola, 2017).

    The decay at step k is min(decay, (1 + k) / (10 + k)), so that the initial weights are soon forgotten.

    Args:
        model: model whose weights are averaged; it is not changed.
        decay: largest weight of the previous average.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False).eval()
        self._decay = decay
        averages, sources = _tensors(self.model), _tensors(model)
        self._averages = [average for average in averages if average.is_floating_point()]
        self._sources = [source for source in sources if source.is_floating_point()]
        self._counts = [pair for pair in zip(averages, sources, strict=True) if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Update the average with the weights after a step, counted from 0."""
        weight = 1 - min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._averages, self._sources, weight)  # pyright: ignore[reportPrivateImportUsage]
        for average, source in self._counts:
            average.copy_(source)


def _tensors(model: nn.Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]
