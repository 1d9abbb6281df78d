"""From log-mel frames to one score a speaker.

Letters: B utterances in a batch, T frames, M mel bands, D width, S speakers.
"""

from typing import Literal

from torch import Tensor, nn

from speakerid.config import ConformerConfig, EncoderConfig, ModelConfig, TransformerConfig
from speakerid.layers.batch_norm import BatchNorm
from speakerid.layers.pooling import MeanPooling, MeanSubtraction
from speakerid.models.conformer import ConformerEncoder
from speakerid.models.transformer import TransformerEncoder


class SpeakerClassifier(nn.Module):
    """prenet → encoder → pooling → classifier.

    Args:
        config: the settings.
        n_mels: M.
        n_speakers: S.
        n_extra: classes behind the speakers' for voices that only help to train, such as speed-perturbed ones; in
            evaluation mode there are no logits of them.
    """

    def __init__(self, config: ModelConfig, n_mels: int, n_speakers: int, n_extra: int = 0) -> None:
        super().__init__()
        self.n_speakers = n_speakers
        self.input_norm = MeanSubtraction() if config.subtract_mean else None
        self.prenet = nn.Linear(n_mels, config.d_model)
        self.encoder = build_encoder(config.encoder, config.d_model)
        self.pooling = MeanPooling()
        self.classifier = build_classifier(config.classifier, config.d_model, n_speakers + n_extra)

    def embed(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, M) and (B, T) frame mask, true at real frames, to (B, D) embeddings."""
        if self.input_norm:
            features = self.input_norm(features, mask)
        return self.pooling(self.encoder(self.prenet(features), mask), mask)

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, M) and (B, T) frame mask, true at real frames, to (B, S) logits; in training with the extra ones."""
        logits = self.classifier(self.embed(features, mask))
        return logits if self.training else logits[:, : self.n_speakers]


def build_encoder(config: EncoderConfig, d_model: int) -> nn.Module:
    """The encoder of the given kind, with `forward(x, mask)` from (B, T, D) to (B, T, D)."""
    settings = config.model_dump(exclude={"kind"})
    match config:
        case TransformerConfig():
            return TransformerEncoder(d_model, **settings)
        case ConformerConfig():
            return ConformerEncoder(d_model, **settings)


def build_classifier(kind: Literal["mlp", "batchnorm", "linear"], d_model: int, n_speakers: int) -> nn.Sequential:
    """(B, D) embeddings to (B, S) logits."""
    linear = nn.Linear(d_model, n_speakers)
    match kind:
        case "mlp":
            return nn.Sequential(nn.Linear(d_model, d_model), nn.ReLU(), linear)
        case "batchnorm":
            return nn.Sequential(BatchNorm(d_model), linear)
        case "linear":
            return nn.Sequential(linear)
