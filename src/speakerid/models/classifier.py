"""From log-mel frames to one score a speaker.

Letters: B utterances in a batch, T frames, M mel bands, D width, S speakers.
"""

from typing import Literal

from torch import Tensor, nn

from speakerid.config import ConformerConfig, EncoderConfig, ModelConfig, TransformerConfig
from speakerid.layers.pooling import MeanPooling, MeanSubtraction
from speakerid.models.conformer import ConformerEncoder
from speakerid.models.transformer import TransformerEncoder


class SpeakerClassifier(nn.Module):
    """prenet → encoder → pooling → classifier.

    Args:
        config: the settings.
        n_mels: M.
        n_speakers: S.
    """

    def __init__(self, config: ModelConfig, n_mels: int, n_speakers: int) -> None:
        super().__init__()
        self.input_norm = MeanSubtraction() if config.subtract_mean else None
        self.prenet = nn.Linear(n_mels, config.d_model)
        self.encoder = build_encoder(config.encoder, config.d_model)
        self.pooling = MeanPooling()
        self.classifier = build_classifier(config.classifier, config.d_model, n_speakers)

    def embed(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, M) and (B, T) frame mask, true at real frames, to (B, D) embeddings."""
        if self.input_norm:
            features = self.input_norm(features, mask)
        return self.pooling(self.encoder(self.prenet(features), mask), mask)

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, M) and (B, T) frame mask, true at real frames, to (B, S) logits."""
        return self.classifier(self.embed(features, mask))


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
            return nn.Sequential(nn.BatchNorm1d(d_model), linear)
        case "linear":
            return nn.Sequential(linear)
