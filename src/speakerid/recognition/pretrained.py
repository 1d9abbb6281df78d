"""Pretrained encoders: embedding models in ONNX from elsewhere, in the place of the model of a bundle.

Shapes: N utterances, T frames, M values of a frame, D width of the model's embeddings, E width of a voice print.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from speakerid.audio.frontends import Kind
from speakerid.base.errors import UserError
from speakerid.config.settings import Settings
from speakerid.corpus.batching import middle
from speakerid.corpus.store import FrameStore
from speakerid.recognition.onnx_network import first_line, session_of
from speakerid.recognition.projection import Projection

if TYPE_CHECKING:
    import onnxruntime

LARGEST = 2**31
"""Largest model in bytes; a single file in ONNX cannot be larger."""


class Pretrained(Settings, frozen=True):
    """Description of a pretrained encoder in a bundle, which holds the model itself too."""

    file: str
    """Name that its file had."""
    sha256: str
    """Checksum of the file."""
    features: Kind
    input: str
    """Name of its input: (1, T, M) frames, or (1, N) samples."""
    output: str
    """Name of its output: (1, D) embeddings."""


class PretrainedNetwork:
    """Pretrained encoder, followed by a projection to voice prints.

    Each recording is embedded alone: these models have no mask, so padding would change what they give.

    Args:
        content: the model.
        pretrained: its description.
        projection: projection of the bundle; None before it is fitted.
    """

    def __init__(self, content: NDArray[np.uint8], pretrained: Pretrained, projection: Projection | None) -> None:
        self._content, self._pretrained, self._projection = content, pretrained, projection
        self.size = content.nbytes // 4
        """Approximate number of parameters."""

    def with_projection(self, projection: Projection) -> PretrainedNetwork:
        """The same encoder, sharing the loaded model, with another projection."""
        found = PretrainedNetwork(self._content, self._pretrained, projection)
        found.__dict__["_session"] = self._session
        return found

    @cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        return session_of(self._content.tobytes())

    @property
    def width(self) -> int:
        """E."""
        assert self._projection is not None
        return self._projection.whitening.shape[1]

    def embed(
        self,
        store: FrameStore,
        indices: Sequence[int],
        crop_frames: int | None = None,
        bands: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """(N, E) voice prints; arguments as for `Embeds.embed`."""
        return self.voice_prints(self.embeddings(store, indices, crop_frames, bands))

    def voice_prints(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Project (N, D) embeddings to (N, E) voice prints."""
        assert self._projection is not None
        return self._projection(embeddings)

    def embeddings(
        self,
        store: FrameStore,
        indices: Sequence[int],
        crop_frames: int | None = None,
        bands: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """(N, D) embeddings before the projection; arguments as for `Embeds.embed`, without bands.

        Raises:
            UserError: onnxruntime is not installed, or the model fails.
        """
        assert bands is None, "shifted voices are for log-mel features"
        found = []
        for start, length in zip(*middle(store, np.asarray(indices, np.int64), crop_frames), strict=True):
            frames = np.array(store.frames[start : start + length], np.float32)
            found.append(self._run(frames))
        return np.stack(found) if found else np.zeros((0, 1), np.float32)

    def _run(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """(T, M) frames to a (D,) embedding."""
        waveform = self._pretrained.features == "waveform"
        x = frames.reshape(1, -1) if waveform else (frames - frames.mean(0))[None]
        try:
            found: Any = self._session.run([self._pretrained.output], {self._pretrained.input: x})[0]
        except Exception as error:  # onnxruntime raises a dozen types of its own
            raise UserError(
                f"{self._pretrained.file}: fails for {len(frames) / 100:g} s: {first_line(error)}; expected a model "
                f"for features {self._pretrained.features}"
            ) from error
        embedding = np.asarray(found, np.float32).reshape(-1)
        if not np.isfinite(embedding).all():
            raise UserError(f"{self._pretrained.file}: gives embeddings that are not finite numbers")
        return embedding


def read_pretrained(path: Path, features: Kind) -> tuple[NDArray[np.uint8], Pretrained]:
    """Read a model in ONNX with one input and embeddings as its last or only output.

    Raises:
        UserError: the file cannot be read, is too large, or is not such a model.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise UserError(f"{path}: found more than 2 GiB, expected a single file in ONNX")
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        session = session_of(content)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    inputs, outputs = session.get_inputs(), session.get_outputs()
    rank = 2 if features == "waveform" else 3
    if len(inputs) != 1 or len(inputs[0].shape) != rank:
        found = ", ".join(f"{one.name} of {one.shape}" for one in inputs)
        raise UserError(
            f"{path}: found inputs {found}; expected one, (B, samples) for waveform or (B, frames, 80) for kaldi80; "
            "wrap the model before its export"
        )
    pretrained = Pretrained(
        file=path.name, sha256=sha256(content).hexdigest(), features=features, input=inputs[0].name,
        output=outputs[-1].name,
    )  # fmt: skip
    return np.frombuffer(content, np.uint8), pretrained
