"""From the frames of a recording to a voice print: a direction that tells speakers apart, whoever they are.

Letters: N recordings, B of them in a batch, T frames, M mel bands, D width of the model's embeddings, S speakers.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from speakerid.batches import whole_utterances
from speakerid.config import FeatureConfig
from speakerid.corpus.store import FrameStore
from speakerid.errors import UserError
from speakerid.evaluation.predict import CPU_FRAMES
from speakerid.model_config import ModelConfig
from speakerid.models.classifier import SpeakerClassifier
from speakerid.recognition.plda import Plda, fit_plda, whitening
from speakerid.recognition.simulated import pieces, through_channels
from speakerid.training.checkpoint import Checkpoint

SMALLEST_SPREAD = 1e-5
"""Largest deviation from the mean embedding, as a share of the largest value, that can be rounding."""


SHORT = 1.0
"""Seconds of the pieces by which it is learned how voice prints of short recordings scatter."""


class Embedder(nn.Module):
    """A trained model without its classifier, then centred and whitened embeddings of length 1, and their scatter.

    Args:
        config: of the model.
        n_mels: M.
    """

    mean: Tensor
    whitening: Tensor
    within: Tensor
    between: Tensor

    def __init__(self, config: ModelConfig, n_mels: int) -> None:
        super().__init__()
        self.model = SpeakerClassifier(config, n_mels, n_speakers=1)
        self.model.classifier = nn.Identity()
        self.register_buffer("mean", torch.zeros(self.model.embedding_width))
        self.register_buffer("whitening", torch.eye(self.model.embedding_width))
        self.register_buffer("within", torch.ones(()))
        self.register_buffer("between", torch.ones(self.model.embedding_width))

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, M) and (B, T) frame mask, true at real frames, to (B, D) voice prints."""
        return F.normalize((self.model.embed(features, mask) - self.mean) @ self.whitening, dim=-1)

    def take_model(self, checkpoint: Checkpoint) -> None:
        """Take the weights of a trained model, less its classifier.

        Raises:
            UserError: they do not fit the checkpoint's settings.
        """
        weights = checkpoint.build_model().state_dict()
        self.model.load_state_dict({k: v for k, v in weights.items() if not k.startswith("classifier.")})

    @torch.no_grad()
    def fit(self, store: FrameStore, indices: Sequence[int], labels: Sequence[int], features: FeatureConfig) -> None:
        """Center, whiten and turn by utterances whose speakers are known, and learn how voice prints scatter.

        A model has learned its training utterances by heart, so their whole embeddings scatter less than those of new
        ones. Short pieces, as they are and through other channels, scatter as new ones do.

        Args:
            store: their features.
            indices: their places in the store.
            labels: their speakers, in the same order.
            features: settings of the features.

        Raises:
            UserError: the model has collapsed.
        """
        embeddings, speakers = self.embeddings(store, indices), np.asarray(labels)
        check_embeddings(embeddings)
        frames = round(SHORT * features.frames_per_second)
        short, rows = pieces(store, indices, frames)
        if len(rows):
            parts = [short, through_channels(short, features, seed=0)]
            embeddings = np.concatenate([embeddings, *(self.embeddings(part, range(len(part))) for part in parts)])
            speakers = np.concatenate([speakers, speakers[rows], speakers[rows]])
        mean = embeddings.mean(0)
        white = whitening(embeddings, speakers)
        axes, plda = fit_plda(F.normalize(torch.from_numpy((embeddings - mean) @ white), dim=-1).numpy(), speakers)
        self.mean.copy_(torch.from_numpy(mean))
        self.whitening.copy_(torch.from_numpy(white @ axes))
        self.within.fill_(plda.within)
        self.between.copy_(torch.from_numpy(plda.between))

    @torch.inference_mode()
    def embeddings(
        self,
        store: FrameStore,
        indices: Sequence[int],
        crop_frames: int | None = None,
        bands: Tensor | None = None,
    ) -> NDArray[np.float32]:
        """(N, D) embeddings of the model, before they become voice prints; see `embed`."""
        rows: list[NDArray[np.int64]] = []
        found: list[Tensor] = []
        for batch in whole_utterances(store, indices, CPU_FRAMES, crop_frames):
            rows.append(batch.indices)
            features = batch.features if bands is None else batch.features @ bands
            found.append(self.model.embed(features, batch.mask))
        order = np.argsort(np.concatenate(rows))
        return torch.cat(found).numpy()[order]

    @torch.no_grad()
    def voice_prints(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, D) embeddings of the model to voice prints."""
        return F.normalize((torch.from_numpy(embeddings) - self.mean) @ self.whitening, dim=-1).numpy()

    @property
    def plda(self) -> Plda:
        """How the voice prints scatter."""
        return plda_in(dict(self.named_buffers()))

    def embed(
        self,
        store: FrameStore,
        indices: Sequence[int],
        crop_frames: int | None = None,
        bands: Tensor | None = None,
    ) -> NDArray[np.float32]:
        """Voice prints of many utterances.

        Args:
            store: their features.
            indices: their places in the store.
            crop_frames: only so many frames from the middle of each; all of them by default.
            bands: (M, M) that frames are multiplied with from the right before; by default nothing.

        Returns:
            (N, D) in the order of `indices`.
        """
        return self.voice_prints(self.embeddings(store, indices, crop_frames, bands))


def check_embeddings(embeddings: NDArray[np.float32]) -> None:
    """Refuse (N, D) embeddings that tell nothing apart.

    Raises:
        UserError: they are not finite, or all the same but for rounding.
    """
    if not np.isfinite(embeddings).all():
        raise UserError("its embeddings are not finite numbers; train again with a lower train.learning_rate")
    spread, size = np.abs(embeddings - embeddings.mean(0)).max(), np.abs(embeddings).max()
    if spread <= SMALLEST_SPREAD * size:
        raise UserError(
            "its embedding is the same for every utterance, so it tells nobody apart; the features are constant or the "
            "training has collapsed: look at the corpus's report and at the curves of the run, and train again"
        )


def plda_in(weights: Mapping[str, Tensor]) -> Plda:
    """How the voice prints scatter of which an embedder has these weights."""
    return Plda(weights["within"].item(), weights["between"].double().numpy())
