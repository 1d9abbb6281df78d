"""Interface of the networks that make voice prints, by PyTorch or in ONNX.

Shapes: N utterances, M mel bands, D width of the model's embeddings, E width of a voice print.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from speakerid.corpus.store import FrameStore


class Embeds(Protocol):
    """Object that makes voice prints of utterances."""

    def embed(
        self,
        store: FrameStore,
        indices: Sequence[int],
        crop_frames: int | None = None,
        bands: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """Voice prints of utterances.

        Args:
            store: features of the utterances.
            indices: (N,) their indices in the store.
            crop_frames: number of frames taken from the middle of each; by default all.
            bands: (M, M) matrix that frames are multiplied by from the right first; by default none.

        Returns:
            (N, E) in the order of `indices`.
        """
        ...


class Fitted(Embeds, Protocol):
    """Encoder whose embeddings and projection can be had one after the other."""

    @property
    def width(self) -> int:
        """E."""
        ...

    def embeddings(
        self,
        store: FrameStore,
        indices: Sequence[int],
        crop_frames: int | None = None,
        bands: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """(N, D) embeddings before the projection; arguments as for `embed`."""
        ...

    def voice_prints(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Project (N, D) embeddings to (N, E) voice prints."""
        ...


class Network(Embeds, Protocol):
    """Encoder of a bundle, with the projection to voice prints."""

    @property
    def size(self) -> int:
        """Number of parameters, at least approximately."""
        ...
