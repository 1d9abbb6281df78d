"""Embedder: from the frames of a recording to a voice print, a unit vector that distinguishes any speakers.

Shapes: N recordings, B of them in a batch, T frames, M mel bands, D width of the model's embeddings,
E width of a voice print, S speakers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from speakerid.base.errors import UserError
from speakerid.config import FeatureConfig
from speakerid.config.model import ModelConfig
from speakerid.corpus.batching import CPU_FRAMES
from speakerid.corpus.store import FrameStore
from speakerid.nn.classifier import SpeakerClassifier
from speakerid.nn.summary import unique_parameters
from speakerid.recognition.plda import Plda
from speakerid.recognition.projection import Projection
from speakerid.recognition.simulated import evenly_spaced, pieces, through_channels
from speakerid.training.batches import whole_utterances

if TYPE_CHECKING:
    from speakerid.training.checkpoint import Checkpoint

SMALLEST_SPREAD = 1e-5
"""Largest deviation from the mean embedding, as a share of the largest value, that can be rounding."""


SHORT = 1.0
"""Duration in seconds of the pieces from which the scatter of short recordings is estimated."""
CHANNELS = 4
"""Number of simulated channels that each training recording is passed through."""
MOST = 2000
"""Largest number of recordings from which the scatter between channels is estimated."""
WIDTH = 192
"""Largest width of a voice print; of a wider embedding, the axes along which speakers differ most are kept."""
_CHUNK = 500
"""Number of recordings passed through a channel at a time, which bounds the memory."""


class Embedder(nn.Module):
    """Trained model without its classifier, followed by centering, whitening and normalization to length 1.

    Args:
        config: settings of the model.
        n_mels: M.
        width: E; by default the width of the model's embeddings, at most `WIDTH`.
    """

    mean: Tensor
    whitening: Tensor
    within: Tensor
    between: Tensor

    def __init__(self, config: ModelConfig, n_mels: int, width: int | None = None) -> None:
        super().__init__()
        self.model = SpeakerClassifier(config, n_mels, n_speakers=1)
        self.model.classifier = nn.Identity()
        self.width = width or min(self.model.embedding_width, WIDTH)
        self.register_buffer("mean", torch.zeros(self.model.embedding_width))
        # Not `torch.eye`, which on the meta device imports torch._dynamo; that takes as long as torch itself.
        self.register_buffer("whitening", torch.zeros(self.model.embedding_width, self.width).fill_diagonal_(1))
        self.register_buffer("within", torch.ones(()))
        self.register_buffer("between", torch.ones(self.width))

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, M) features and (B, T) frame mask, true at real frames, to (B, E) voice prints."""
        return F.normalize((self.model.embed(features, mask) - self.mean) @ self.whitening, dim=-1)

    def take_model(self, checkpoint: Checkpoint) -> None:
        """Load the weights of a trained model, without its classifier.

        Raises:
            UserError: the weights do not fit the checkpoint's settings.
        """
        weights = checkpoint.checked_weights()
        self.model.load_state_dict({k: v for k, v in weights.items() if not k.startswith("classifier.")})

    @torch.no_grad()
    def fit(
        self,
        store: FrameStore,
        indices: Sequence[int],
        labels: Sequence[int],
        features: FeatureConfig,
        clips: Sequence[int] | NDArray[np.integer],
    ) -> NDArray[np.float32]:
        """Fit the center, the whitening, the axes and the scatter of voice prints to utterances of known speakers.

        A model has memorized its training utterances, so their embeddings scatter less than those of new ones, and are
        not where new ones of the speaker are. The same utterances through other channels, and short pieces with and
        without a channel, scatter as new ones do.

        Args:
            store: features of the utterances.
            indices: (N,) their indices in the store.
            labels: (N,) their speakers.
            features: settings of the features.
            clips: (C,) rows of `indices` that pass through other channels.

        Returns:
            (C, E) voice prints of the clips for profiles, means over the clip as it is and through other channels.

        Raises:
            UserError: the model has collapsed.
        """
        whole, speakers = self.embeddings(store, indices), np.asarray(labels)
        check_embeddings(whole)
        short, rows = pieces(store, indices, round(SHORT * features.frames_per_second))
        parts = [short, through_channels(short, features, seed=0)] if len(rows) else []
        copies = list(self._through_channels(store, np.asarray(indices)[clips], features))
        some = evenly_spaced(len(clips), MOST)
        embeddings = np.concatenate([whole, *(copy[some] for copy in copies), *(self._of_all(part) for part in parts)])
        chosen = np.asarray(clips)[some]
        speakers = np.concatenate([speakers, *(speakers[chosen] for _ in copies), *(speakers[rows] for _ in parts)])
        for name, weight in Projection.fit(embeddings, speakers, self.width).weights().items():
            self.get_buffer(name).copy_(torch.from_numpy(weight))
        return self.voice_prints(np.mean([whole[clips], *copies], axis=0))

    def _through_channels(
        self, store: FrameStore, indices: Sequence[int] | NDArray[np.integer], features: FeatureConfig
    ) -> Iterator[NDArray[np.float32]]:
        """Yield (N, D) embeddings of all recordings through other channels, `CHANNELS` times."""
        chunks = [store.of(indices[start : start + _CHUNK]) for start in range(0, len(indices), _CHUNK)]
        for seed in range(1, 1 + CHANNELS):
            yield np.concatenate([self._of_all(through_channels(chunk, features, seed)) for chunk in chunks])

    def _of_all(self, store: FrameStore) -> NDArray[np.float32]:
        return self.embeddings(store, range(len(store)))

    @torch.inference_mode()
    def embeddings(
        self,
        store: FrameStore,
        indices: Sequence[int],
        crop_frames: int | None = None,
        bands: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """(N, D) embeddings of the model, before the projection to voice prints; see `embed`."""
        # Written into one array: a small tensor kept from every batch would split the memory that batches share.
        found = np.empty((len(indices), self.model.embedding_width), np.float32)
        for batch in whole_utterances(store, indices, CPU_FRAMES, crop_frames):
            features = batch.features if bands is None else batch.features @ torch.from_numpy(bands)
            found[batch.indices] = self.model.embed(features, batch.mask).numpy()
        return found

    @torch.no_grad()
    def voice_prints(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Project (N, D) embeddings of the model to (N, E) voice prints."""
        return F.normalize((torch.from_numpy(embeddings) - self.mean) @ self.whitening, dim=-1).numpy()

    @property
    def size(self) -> int:
        """Number of parameters."""
        return unique_parameters(self)

    @property
    def plda(self) -> Plda:
        """Distribution of the voice prints."""
        return Plda(self.within.item(), self.between.double().numpy())

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
        return self.voice_prints(self.embeddings(store, indices, crop_frames, bands))


def check_embeddings(embeddings: NDArray[np.float32]) -> None:
    """Check that (N, D) embeddings distinguish utterances.

    Raises:
        UserError: they are not finite, or all equal except for rounding.
    """
    if not np.isfinite(embeddings).all():
        raise UserError("its embeddings are not finite numbers; train again with a lower train.learning_rate")
    spread, size = np.abs(embeddings - embeddings.mean(0)).max(), np.abs(embeddings).max()
    if spread <= SMALLEST_SPREAD * size:
        raise UserError(
            "its embedding is the same for every utterance, so it cannot distinguish speakers; the features are "
            "constant or the training has collapsed: look at the corpus's report and the curves of the run, and train "
            "again"
        )
