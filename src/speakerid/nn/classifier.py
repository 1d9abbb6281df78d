"""Speaker classifier: from log-mel frames to one logit per speaker.

Shapes: B batch, T frames, M mel bands, D width, S speakers.
"""

from torch import Tensor, nn

from speakerid.config.model import ModelConfig
from speakerid.nn.build import build_classifier, build_encoder, build_expansion, build_pooling
from speakerid.nn.layers import Subsampling
from speakerid.nn.pooling import MeanSubtraction


class SpeakerClassifier(nn.Module):
    """prenet → encoder → pooling → classifier, with the optional parts that the settings ask for.

    With `pooling_width` a Linear and ReLU widen the frames before pooling, like the last frame-level layer of x-vectors
    (512 to 1,500 channels, Snyder et al., 2018) and of ECAPA-TDNN (Desplanques et al., 2020, section 3.3).

    Args:
        config: settings of the model.
        n_mels: M.
        n_speakers: S.
        n_extra: extra classes after the speakers', for voices that only help to train, such as speed-perturbed ones; in
            evaluation mode their logits are dropped.
    """

    def __init__(self, config: ModelConfig, n_mels: int, n_speakers: int, n_extra: int = 0) -> None:
        super().__init__()
        self.n_speakers = n_speakers
        self.input_norm = MeanSubtraction() if config.subtract_mean else None
        self.prenet = nn.Linear(n_mels, config.d_model)
        self.subsampling = Subsampling(config.d_model) if config.subsampling == 2 else None
        self.encoder = build_encoder(config.encoder, config.d_model)
        self.expansion = build_expansion(config)
        self.pooling, width = build_pooling(config.pooling, config.pooled_width)
        self.embedding = nn.Linear(width, config.embedding_dim) if config.embedding_dim else nn.Identity()
        self.embedding_width = config.embedding_dim or width
        self.classifier = build_classifier(config.classifier, self.embedding_width, n_speakers + n_extra)

    def embed(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, M) and (B, T) frame mask, true at real frames, to (B, `embedding_width`) embeddings."""
        if self.input_norm:
            features = self.input_norm(features, mask)
        x = self.prenet(features)
        if self.subsampling:
            x, mask = self.subsampling(x, mask)
        x = self.encoder(x, mask)
        x = self.expansion(x)
        x = self.pooling(x, mask)
        return self.embedding(x)

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, M) and (B, T) frame mask, true at real frames, to (B, S) logits; (B, S + `n_extra`) in training."""
        logits = self.classifier(self.embed(features, mask))
        return logits if self.training else logits[:, : self.n_speakers]
