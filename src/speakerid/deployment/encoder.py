"""Write the encoder of a bundle in ONNX into the bundle, so that it works without PyTorch.

Shapes: B recordings in a batch, T frames, M mel bands, D width of an embedding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from speakerid.base.errors import UserError
from speakerid.base.extras import install, installed
from speakerid.corpus.store import FrameStore
from speakerid.deployment.export import OPSET, TOLERANCE, tracing
from speakerid.nn.classifier import SpeakerClassifier
from speakerid.recognition.bundle import Bundle
from speakerid.recognition.onnx_network import INPUTS, OUTPUT, OnnxNetwork
from speakerid.recognition.projection import Projection

COMPARED = (1, 7, 50, 51, 100, 130, 255, 256, 257, 400, 513, 1000)
"""Numbers of frames of the recordings that are compared."""


class _Encoder(nn.Module):
    """Model without its classifier, from (B, T, M) features and (B, T) frame mask to (B, D) embeddings."""

    def __init__(self, model: SpeakerClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        return self.model.embed(features, mask)


def with_onnx(bundle: Bundle) -> tuple[Bundle, float]:
    """Add the encoder in ONNX to a bundle; answers and the fingerprint of the encoder stay the same.

    Returns:
        The bundle, and the largest difference of an element of a voice print, over recordings of random frames.

    Raises:
        UserError: the extra `onnx` is not installed, or the exported encoder differs by more than `TOLERANCE`.
    """
    for name in ("onnx", "onnxruntime"):
        if not installed(name):
            raise UserError(f"ONNX: {name} is not installed; {install('onnx')}")
    embedder = bundle.embedder().requires_grad_(False)
    examples = torch.randn(2, 60, bundle.features.n_mels), torch.arange(60) < torch.tensor([[60], [40]])
    with TemporaryDirectory() as folder, tracing():
        path = Path(folder) / "encoder.onnx"
        torch.onnx.export(
            _Encoder(embedder.model).eval(), examples, path, input_names=INPUTS, output_names=(OUTPUT,),
            dynamic_axes={name: {0: "B", 1: "T"} for name in INPUTS} | {OUTPUT: {0: "B"}}, opset_version=OPSET,
            dynamo=False,
        )  # fmt: skip
        found = np.frombuffer(path.read_bytes(), np.uint8)
    network = OnnxNetwork(found, Projection.of(bundle.weights))
    store = FrameStore.from_utterances(list(_frames(bundle.features.n_mels)), bundle.features.n_mels)
    together, alone = network.embed(store, range(len(store))), embedder.embed(store, range(len(store)))
    deviation = float(np.abs(together - alone).max())
    if not deviation <= TOLERANCE:
        raise UserError(
            f"the encoder in ONNX differs from the bundle's by {deviation:.1e}, expected {TOLERANCE:.0e} at most; try "
            "the versions of torch and onnxruntime in pyproject.toml"
        )
    return replace(bundle, onnx=found), deviation


def _frames(n_mels: int) -> Iterator[NDArray[np.float32]]:
    """Random (T, M) log-mel frames, around the mean of speech."""
    rng = np.random.default_rng(0)
    for count in COMPARED:
        yield (4 * rng.standard_normal((count, n_mels)) - 8).astype(np.float32)
