"""Settings of the model: encoder, pooling, classifier.

Experimental settings work and are tested, but no trained result supports them; docs/results.md has the others.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from speakerid.config.settings import LARGEST, Choice, Count, Named, Numeric, Positive, Probability, Settings


class _Stack(Settings, frozen=True):
    """Settings of every encoder."""

    kind: str
    num_layers: Annotated[int, Numeric, Field(ge=1, le=200)] = 3
    """Number of layers or blocks."""
    nhead: Count = 1
    """Number of attention heads; divides `d_model`."""
    dropout: Probability = 0.1
    """Probability of dropout, after every sub-layer and in the attention weights."""
    share_layers: bool = False
    """Apply one layer's weights `num_layers` times."""
    concat_layers: bool = False
    """Pool the concatenated outputs of all layers instead of the last one's."""
    layer_drop: Probability = 0.0
    """Probability that an utterance skips the last layer in training; it decreases linearly toward the first.
    Experimental."""


class _Convolutional(Settings, frozen=True):
    """Settings of encoders with a convolution."""

    kernel_size: Count = 31
    """Kernel size of the depthwise convolution in frames; odd."""
    positions: Literal["relative", "rotary", "none"] = "relative"
    """Positional encoding of the attention: `relative` positions in the scores, or `rotary` queries and keys."""

    @model_validator(mode="after")
    def _check_kernel_sizes(self) -> _Convolutional:
        for name, value in self:
            if name.endswith("kernel_size") and value % 2 == 0:
                raise ValueError(f"{name} must be odd to be centered on a frame, found {value}")
        return self


class TransformerConfig(_Stack, frozen=True):
    kind: Literal["transformer"]
    dim_feedforward: Count = 256
    """Inner width of the feed-forward networks."""
    qkv_bias: bool = True
    """Biases in the projections to queries, keys and values."""
    norm_first: bool = False
    """Normalize before each sub-layer (pre-norm) instead of after it (post-norm)."""
    positions: Literal["none", "rotary"] = "none"
    """Positional encoding of the attention: none, or `rotary` queries and keys."""


class ConformerConfig(_Convolutional, _Stack, frozen=True):
    kind: Literal["conformer"]
    dim_feedforward: Count = 256
    """Inner width of the feed-forward networks."""
    conv_channels: Count | None = None
    """Channels of the depthwise convolution; by default `d_model`."""
    glu: bool = True
    """Gated linear unit before the depthwise convolution, as in the paper; SiLU if false."""
    macaron: bool = True
    """Half a feed-forward step at each end of a block, as in the paper; if false, a full one at the end."""


class _Gated(_Convolutional, _Stack, frozen=True):
    """Settings of both Branchformers."""

    dim_gating: Annotated[int, Numeric, Field(gt=0, le=LARGEST, multiple_of=2)] = 512
    """Inner width of the convolutional gating MLP; one half gates the other."""


class BranchformerConfig(_Gated, frozen=True):
    kind: Literal["branchformer"]


class EBranchformerConfig(_Gated, frozen=True):
    """Experimental."""

    kind: Literal["e_branchformer"]
    dim_feedforward: Count = 256
    """Inner width of the feed-forward networks."""
    merge_kernel_size: Count = 31
    """Kernel size of the depthwise convolution that merges the branches, in frames; odd."""


EncoderConfig = Annotated[
    TransformerConfig | ConformerConfig | BranchformerConfig | EBranchformerConfig, Field(discriminator="kind")
]


class MeanConfig(Choice, frozen=True):
    kind: Literal["mean"] = "mean"


class StatisticsConfig(Choice, frozen=True):
    """Mean and standard deviation."""

    kind: Literal["statistics"]


class SelfAttentiveConfig(Choice, frozen=True):
    """Weighted means. Experimental."""

    kind: Literal["self_attentive"]
    nhead: Count = 1
    """Number of heads; each gives a mean of all channels."""
    dim_attention: Count = 128
    """Inner width of the network that weights the frames."""


class AttentiveStatisticsConfig(Choice, frozen=True):
    """Weighted mean and standard deviation."""

    kind: Literal["attentive_statistics"]
    nhead: Count = 1
    """Number of heads; each weights a group of channels, so it divides their number."""
    dim_attention: Count = 128
    """Inner width of the network that weights the frames."""


PoolingConfig = Annotated[
    MeanConfig | StatisticsConfig | SelfAttentiveConfig | AttentiveStatisticsConfig,
    Field(discriminator="kind"),
    Named,
]


class LinearConfig(Choice, frozen=True):
    kind: Literal["linear"]


class MlpConfig(Choice, frozen=True):
    """Linear-ReLU-Linear."""

    kind: Literal["mlp"]


class BatchNormConfig(Choice, frozen=True):
    """BatchNorm1d-Linear."""

    kind: Literal["batchnorm"] = "batchnorm"


class CosineConfig(Choice, frozen=True):
    """`scale` times the cosine between an embedding and a speaker's center."""

    kind: Literal["cosine"]
    scale: Positive = 30.0
    """Factor of the cosines: the higher, the sharper the softmax."""
    sub_centers: Count = 1
    """Number of centers per speaker, of which the nearest counts. Experimental above 1."""
    batch_norm: bool = False
    """BatchNorm1d on the embeddings, which removes what they all have in common."""


ClassifierConfig = Annotated[
    LinearConfig | MlpConfig | BatchNormConfig | CosineConfig, Field(discriminator="kind"), Named
]


class ModelConfig(Settings, frozen=True):
    """(mean subtraction →) prenet → (subsampling →) encoder → (expansion →) pooling → (embedding →) classifier."""

    d_model: Count = 80
    """Width of the frames in the encoder."""
    subtract_mean: bool = False
    """Subtract from every band its mean over the utterance, which removes a microphone's frequency response."""
    subsampling: Annotated[Literal[1, 2], Numeric] = 1
    """Factor by which the frame rate is reduced before the encoder; 2 is a strided convolution."""
    encoder: EncoderConfig
    """A kind with its settings: `{kind: conformer, num_layers: 2}`."""
    pooling_width: Count | None = None
    """Width of a Linear and ReLU between encoder and pooling, to pool more channels than the encoder has; by default
    no such layer."""
    pooling: PoolingConfig = MeanConfig()
    """A kind by name, or with its settings: `{kind: attentive_statistics, nhead: 4}`."""
    embedding_dim: Count | None = None
    """Width of a Linear between pooling and classifier; by default no such layer. Experimental."""
    classifier: ClassifierConfig = BatchNormConfig()
    """A kind by name, or with its settings: `{kind: cosine, sub_centers: 3}`."""

    @property
    def frame_width(self) -> int:
        """Channels of the encoder's frames."""
        return self.d_model * (self.encoder.num_layers if self.encoder.concat_layers else 1)

    @property
    def pooled_width(self) -> int:
        """Channels of the frames that are pooled."""
        return self.pooling_width or self.frame_width

    @property
    def normalizes_over_batch(self) -> bool:
        """Whether the classifier normalizes embeddings over the batch while training."""
        classifier = self.classifier
        return isinstance(classifier, BatchNormConfig) or (
            isinstance(classifier, CosineConfig) and classifier.batch_norm
        )

    @property
    def logit_scale(self) -> float:
        """Factor of the logits of a cosine classifier: divided by it, they are cosines; 1 for the other classifiers."""
        return self.classifier.scale if isinstance(self.classifier, CosineConfig) else 1.0

    @model_validator(mode="after")
    def _check_heads(self) -> ModelConfig:
        nhead = self.encoder.nhead
        if self.d_model % nhead:
            raise ValueError(f"encoder.nhead ({nhead}) must divide d_model ({self.d_model})")
        if self.encoder.positions == "rotary" and self.d_model // nhead % 2:
            raise ValueError(
                f"encoder.positions=rotary rotates pairs of channels, so d_model ({self.d_model}) / encoder.nhead "
                f"({nhead}) must be even"
            )
        pooling = self.pooling
        if isinstance(pooling, AttentiveStatisticsConfig) and self.pooled_width % pooling.nhead:
            origin = "pooling_width's" if self.pooling_width else "the encoder's"
            raise ValueError(f"pooling.nhead ({pooling.nhead}) must divide {origin} {self.pooled_width} channels")
        return self
