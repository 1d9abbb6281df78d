"""Speaker classifier: from log-mel frames to one logit per speaker.

Shapes: B batch, T frames, M mel bands, D width, S speakers.
"""

from torch import Tensor, nn

from speakerid.config.model import (
    AttentiveStatisticsConfig,
    BatchNormConfig,
    BranchformerConfig,
    ClassifierConfig,
    ConformerConfig,
    CosineConfig,
    EBranchformerConfig,
    EncoderConfig,
    LinearConfig,
    MeanConfig,
    MlpConfig,
    ModelConfig,
    PoolingConfig,
    SelfAttentiveConfig,
    StatisticsConfig,
    TransformerConfig,
)
from speakerid.nn.branchformer import BranchformerEncoder, EBranchformerEncoder
from speakerid.nn.conformer import ConformerEncoder
from speakerid.nn.cosine import CosineClassifier
from speakerid.nn.layers import BatchNorm, Subsampling
from speakerid.nn.pooling import (
    AttentiveStatisticsPooling,
    MeanPooling,
    MeanSubtraction,
    SelfAttentivePooling,
    StatisticsPooling,
)
from speakerid.nn.transformer import TransformerEncoder


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
        return self.embedding(self.pooling(self.expansion(self.encoder(x, mask)), mask))

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, M) and (B, T) frame mask, true at real frames, to (B, S) logits; (B, S + `n_extra`) in training."""
        logits = self.classifier(self.embed(features, mask))
        return logits if self.training else logits[:, : self.n_speakers]


def build_encoder(config: EncoderConfig, d_model: int) -> nn.Module:
    """Encoder with `forward(x, mask)` from (B, T, D) to (B, T, `ModelConfig.frame_width`)."""
    settings = config.model_dump(exclude={"kind"})
    match config:
        case TransformerConfig():
            return TransformerEncoder(d_model, **settings)
        case ConformerConfig():
            return ConformerEncoder(d_model, **settings)
        case BranchformerConfig():
            return BranchformerEncoder(d_model, **settings)
        case EBranchformerConfig():
            return EBranchformerEncoder(d_model, **settings)


def build_expansion(config: ModelConfig) -> nn.Module:
    """Layer before the pooling, from (B, T, `frame_width`) to (B, T, `pooled_width`) frames."""
    if config.pooling_width is None:
        return nn.Identity()
    return nn.Sequential(nn.Linear(config.frame_width, config.pooling_width), nn.ReLU())


def build_pooling(config: PoolingConfig, width: int) -> tuple[nn.Module, int]:
    """Pooling of (B, T, width) frames, and the width of its output."""
    match config:
        case MeanConfig():
            return MeanPooling(), width
        case StatisticsConfig():
            return StatisticsPooling(), 2 * width
        case SelfAttentiveConfig(nhead=nhead, dim_attention=dim_attention):
            return SelfAttentivePooling(width, nhead, dim_attention), nhead * width
        case AttentiveStatisticsConfig(nhead=nhead, dim_attention=dim_attention):
            return AttentiveStatisticsPooling(width, nhead, dim_attention), 2 * width


def build_classifier(config: ClassifierConfig, width: int, n_speakers: int) -> nn.Module:
    """Classifier from (B, width) embeddings to (B, S) logits."""
    if isinstance(config, CosineConfig):
        return CosineClassifier(width, n_speakers, config.scale, config.sub_centers, config.batch_norm)
    linear = nn.Linear(width, n_speakers)
    match config:
        case MlpConfig():
            return nn.Sequential(nn.Linear(width, width), nn.ReLU(), linear)
        case BatchNormConfig():
            return nn.Sequential(BatchNorm(width), linear)
        case LinearConfig():
            return nn.Sequential(linear)
