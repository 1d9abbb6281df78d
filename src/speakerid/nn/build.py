"""Build the parts of a model from their settings.

Shapes: B batch, T frames, D width, S speakers.
"""

from torch import nn

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
from speakerid.nn.layers import BatchNorm
from speakerid.nn.pooling import (
    AttentiveStatisticsPooling,
    MeanPooling,
    SelfAttentivePooling,
    StatisticsPooling,
)
from speakerid.nn.transformer import TransformerEncoder


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
