"""Names, shapes and types of the weights of a model, by its settings. This needs PyTorch, but no memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from speakerid.config.model import ModelConfig
from speakerid.recognition.embedder import Embedder

Expectation = tuple[tuple[int, ...], np.dtype[Any]]
"""Shape and type of a tensor."""


def expected_weights(model: ModelConfig, n_mels: int, width: int | None) -> dict[str, Expectation]:
    """Shapes and types of the weights of an embedder; arguments as for `Embedder`."""
    with torch.device("meta"):  # allocates no memory, whatever the settings are
        embedder = Embedder(model, n_mels, width)
    return {
        name: (tuple(tensor.shape), np.dtype(str(tensor.dtype).removeprefix("torch.")))
        for name, tensor in embedder.state_dict().items()
    }


def arrays_of(embedder: Embedder) -> Mapping[str, NDArray[Any]]:
    """Weights of an embedder as arrays."""
    return {name: tensor.contiguous().numpy() for name, tensor in embedder.state_dict().items()}
