"""Settings of the model: encoder, pooling, classifier."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from speakerid.settings import LARGEST, Choice, Count, Named, Numeric, Positive, Probability, Settings


class _Stack(Settings, frozen=True):
    """What every encoder has."""

    kind: str
    num_layers: Annotated[int, Numeric, Field(ge=1, le=200)] = 3
    nhead: Count = 1
    """Attention heads; they divide `d_model`."""
    dropout: Probability = 0.1
    share_layers: bool = False
    """Apply one layer's weights `num_layers` times."""
    concat_layers: bool = False
    """Hand every layer's output to the pooling, side by side, and not only the last one's."""
    layer_drop: Probability = 0.0
    """Probability that an utterance skips the last layer in training; it falls in proportion towards the first."""


class _Convolutional(Settings, frozen=True):
    """What encoders with a convolution have, too."""

    kernel_size: Count = 31
    """Frames seen by the depthwise convolution; odd."""
    positions: Literal["relative", "rotary", "none"] = "relative"
    """How attention knows of distances: `relative` positions in the scores, or `rotary` queries and keys."""

    @model_validator(mode="after")
    def _odd_kernels(self) -> _Convolutional:
        for name, value in self:
            if name.endswith("kernel_size") and value % 2 == 0:
                raise ValueError(f"{name} must be odd to stay centred on its frame, found {value}")
        return self


class TransformerConfig(_Stack, frozen=True):
    kind: Literal["transformer"]
    dim_feedforward: Count = 256
    qkv_bias: bool = True
    norm_first: bool = False
    """Normalise before each sub-layer (pre-norm) instead of after it (post-norm)."""
    positions: Literal["none", "rotary"] = "none"


class ConformerConfig(_Convolutional, _Stack, frozen=True):
    kind: Literal["conformer"]
    dim_feedforward: Count = 256
    conv_channels: Count | None = None
    """Channels of the depthwise convolution; by default `d_model`."""
    glu: bool = True
    """Gated linear unit in front of the depthwise convolution, as in the paper; SiLU where false."""
    macaron: bool = True
    """Half a feed-forward step at each end of a block, as in the paper; where false, a whole one at the end."""


class _Gated(_Convolutional, _Stack, frozen=True):
    """What both Branchformers have."""

    dim_gating: Annotated[int, Numeric, Field(gt=0, le=LARGEST, multiple_of=2)] = 512
    """Inner width of the convolutional gating MLP; one half gates the other."""


class BranchformerConfig(_Gated, frozen=True):
    kind: Literal["branchformer"]


class EBranchformerConfig(_Gated, frozen=True):
    kind: Literal["e_branchformer"]
    dim_feedforward: Count = 256
    merge_kernel_size: Count = 31
    """Frames seen by the depthwise convolution that merges the branches; odd."""


EncoderConfig = Annotated[
    TransformerConfig | ConformerConfig | BranchformerConfig | EBranchformerConfig, Field(discriminator="kind")
]


class MeanConfig(Choice, frozen=True):
    kind: Literal["mean"] = "mean"


class StatisticsConfig(Choice, frozen=True):
    """Mean and standard deviation."""

    kind: Literal["statistics"]


class SelfAttentiveConfig(Choice, frozen=True):
    """Weighted means."""

    kind: Literal["self_attentive"]
    nhead: Count = 1
    """Weightings; each makes a mean of all channels."""
    dim_attention: Count = 128
    """Inner width of the network that weighs the frames."""


class AttentiveStatisticsConfig(Choice, frozen=True):
    """Weighted mean and standard deviation."""

    kind: Literal["attentive_statistics"]
    nhead: Count = 1
    """Weightings; each serves its own group of channels, so it divides their number."""
    dim_attention: Count = 128
    """Inner width of the network that weighs the frames."""


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
    """`scale` times the cosine between an embedding and a speaker's centre."""

    kind: Literal["cosine"]
    scale: Positive = 30.0
    sub_centers: Count = 1
    """Centres a speaker, of which the nearest counts."""
    batch_norm: bool = False
    """BatchNorm1d in front, which takes out what all embeddings have in common."""


ClassifierConfig = Annotated[
    LinearConfig | MlpConfig | BatchNormConfig | CosineConfig, Field(discriminator="kind"), Named
]


class ModelConfig(Settings, frozen=True):
    """(mean subtraction →) prenet → (subsampling →) encoder → (expansion →) pooling → (embedding →) classifier."""

    d_model: Count = 80
    subtract_mean: bool = False
    """Subtract from every band its mean over the utterance, which takes out what a microphone adds throughout."""
    subsampling: Annotated[Literal[1, 2], Numeric] = 1
    """Frames in front of the encoder for each that it sees; 2 by a strided convolution."""
    encoder: EncoderConfig
    pooling_width: Count | None = None
    """Channels of a Linear and ReLU between encoder and pooling, so that statistics are taken of more channels than the
    encoder has; by default there is none."""
    pooling: PoolingConfig = MeanConfig()
    """A kind by its name, or with its settings: `{kind: attentive_statistics, nhead: 4}`."""
    embedding_dim: Count | None = None
    """Width of a Linear between pooling and classifier; by default there is none."""
    classifier: ClassifierConfig = BatchNormConfig()
    """A kind by its name, or with its settings: `{kind: cosine, sub_centers: 3}`."""

    @property
    def frame_width(self) -> int:
        """Channels of the encoder's frames."""
        return self.d_model * (self.encoder.num_layers if self.encoder.concat_layers else 1)

    @property
    def pooled_width(self) -> int:
        """Channels of the frames that are pooled."""
        return self.pooling_width or self.frame_width

    @property
    def normalises_over_batch(self) -> bool:
        """Whether the classifier sees what it learns from only in the light of the other embeddings of a batch."""
        classifier = self.classifier
        return isinstance(classifier, BatchNormConfig) or (
            isinstance(classifier, CosineConfig) and classifier.batch_norm
        )

    @property
    def logit_scale(self) -> float:
        """Logits divided by this are cosines, where the classifier is one of cosines."""
        return self.classifier.scale if isinstance(self.classifier, CosineConfig) else 1.0

    @model_validator(mode="after")
    def _heads_divide_widths(self) -> ModelConfig:
        nhead = self.encoder.nhead
        if self.d_model % nhead:
            raise ValueError(f"encoder.nhead ({nhead}) must divide d_model ({self.d_model})")
        if self.encoder.positions == "rotary" and self.d_model // nhead % 2:
            raise ValueError(
                f"encoder.positions=rotary turns pairs of channels, so d_model ({self.d_model}) / encoder.nhead "
                f"({nhead}) must be even"
            )
        pooling = self.pooling
        if isinstance(pooling, AttentiveStatisticsConfig) and self.pooled_width % pooling.nhead:
            origin = "pooling_width's" if self.pooling_width else "the encoder's"
            raise ValueError(f"pooling.nhead ({pooling.nhead}) must divide {origin} {self.pooled_width} channels")
        return self
