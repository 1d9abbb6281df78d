"""Run an encoder in ONNX by onnxruntime, without PyTorch.

Shapes: N utterances, B batch, T frames, M mel bands, D width of the model's embeddings, E width of a voice print.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from speakerid.base.errors import UserError
from speakerid.base.extras import install
from speakerid.corpus.batching import CPU_FRAMES, groups_by_length, middle, padded
from speakerid.corpus.store import FrameStore
from speakerid.recognition.projection import Projection

if TYPE_CHECKING:
    import onnxruntime

INPUTS, OUTPUT = ("features", "mask"), "embeddings"
"""Names in an encoder that `speakerid.deployment.encoder` writes: (B, T, M) features and (B, T) frame mask, true at
real frames, to (B, D) embeddings."""


def session_of(content: bytes) -> onnxruntime.InferenceSession:
    """Load an ONNX model for one thread; callers run batches in parallel.

    Raises:
        UserError: onnxruntime is not installed, or the model is not one that it runs.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(f"onnxruntime: not installed; {install('runtime')}") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # errors are reported in one line
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises a dozen types of its own
        raise UserError(f"the ONNX encoder cannot be loaded: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    """First line of an error of onnxruntime."""
    return str(error).strip().partition("\n")[0][:300]


class OnnxNetwork:
    """Encoder of a bundle in ONNX, followed by the projection to voice prints.

    Args:
        content: the ONNX model.
        projection: projection of the bundle.
    """

    def __init__(self, content: NDArray[np.uint8], projection: Projection) -> None:
        self._content = content
        self._projection = projection
        self.size = content.nbytes // 4
        """Approximate number of parameters."""

    @cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        return session_of(self._content.tobytes())

    def embed(
        self,
        store: FrameStore,
        indices: Sequence[int],
        crop_frames: int | None = None,
        bands: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """(N, E) voice prints of utterances; arguments as for `Embedder.embed`.

        Raises:
            UserError: see `session_of`; or the model fails.
        """
        starts, lengths = middle(store, np.asarray(indices, np.int64), crop_frames)
        found = np.zeros((len(lengths), len(self._projection.mean)), np.float32)
        for group in groups_by_length(lengths, CPU_FRAMES):
            features, mask = padded(store, starts[group], lengths[group])
            found[group] = self._run(features if bands is None else features @ bands, mask)
        return self._projection(found)

    def _run(self, features: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        """(B, T, M) features and (B, T) frame mask to (B, D) embeddings."""
        session = self._session
        try:
            found: Any = session.run([OUTPUT], dict(zip(INPUTS, (features, mask), strict=True)))[0]
        except Exception as error:  # onnxruntime raises a dozen types of its own
            raise UserError(f"the bundle's ONNX encoder fails: {first_line(error)}; export it again") from error
        return found
