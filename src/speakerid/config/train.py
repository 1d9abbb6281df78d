"""Settings of training: steps, batches, loss, augmentation, optimizer, checkpoints.

Experimental settings work and are tested, but no trained result supports them; docs/results.md has the others.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from speakerid.config.settings import Choice, Count, CountOrZero, Named, Numeric, Positive, Probability, Settings

Precision = Literal["auto", "float32", "tf32", "bfloat16", "float64"]


class _Smoothed(Choice, frozen=True):
    label_smoothing: Probability = 0.0
    """Share of the target distributed evenly over all classes (Szegedy et al., 2016, section 7)."""


class CrossEntropyConfig(_Smoothed, frozen=True):
    kind: Literal["cross_entropy"] = "cross_entropy"


class _Margin(_Smoothed, frozen=True):
    margin_warmup: Annotated[float, Numeric, Field(ge=0, le=1)] = 0.3
    """Share of the run over which the margin rises linearly from 0; with the full margin from the start, many models
    learn nothing."""


class AmSoftmaxConfig(_Margin, frozen=True):
    """Additive margin on the cosine. Experimental."""

    kind: Literal["am_softmax"]
    margin: Annotated[float, Numeric, Field(ge=0, lt=2)] = 0.2
    """Subtracted from the cosine of the true speaker."""


class AamSoftmaxConfig(_Margin, frozen=True):
    """Additive margin on the angle; with the classifier's `sub_centers`, this is sub-center AAM."""

    kind: Literal["aam_softmax"]
    margin: Annotated[float, Numeric, Field(ge=0, lt=1.57)] = 0.2
    """Radians added to the angle of the true speaker."""


LossConfig = Annotated[CrossEntropyConfig | AmSoftmaxConfig | AamSoftmaxConfig, Field(discriminator="kind"), Named]


class SpecAugmentConfig(Settings, frozen=True):
    """SpecAugment: random masks over frames and bands, drawn for every crop; off by default."""

    time_masks: Annotated[int, Numeric, Field(ge=0, le=100)] = 0
    """Number of masks over frames."""
    time_width: Count = 20
    """Largest width of a mask in frames."""
    band_masks: Annotated[int, Numeric, Field(ge=0, le=100)] = 0
    """Number of masks over bands."""
    band_width: Count = 6
    """Largest width of a mask in mel bands."""


class ChannelAugmentConfig(Settings, frozen=True):
    """Channel augmentation: probability of each part of a random channel, drawn for every crop; off by default.

    See `speakerid.nn.channel_augment.ChannelAugment`.
    """

    reverberation: Probability = 0.0
    """Add a decaying tail, like a room."""
    babble: Probability = 0.0
    """Add one to three other utterances of the batch, 5 to 25 dB below the crop."""
    noise: Probability = 0.0
    """Add noise with a random smooth spectrum, 0 to 25 dB below the crop."""
    equalization: Probability = 0.0
    """Apply a random smooth gain over the bands, up to 6 dB (root mean square)."""
    band_limit: Probability = 0.0
    """Set bands above 3 to 8 kHz, and half of the time those below 50 to 400 Hz, to the floor."""


class TrainConfig(Settings, frozen=True):
    """Steps, batches, loss, augmentation, optimizer and checkpoints."""

    total_steps: Count = 70_000
    """Number of optimizer steps."""
    warmup_steps: CountOrZero = 1_000
    """Steps of linear warm-up, which is followed by half a cosine down to zero."""
    valid_steps: Count = 2_000
    """Validate every this many steps and after the last one, and save best.pt if the model has improved."""
    save_steps: Count = 500
    """Write last.pt, from which a run resumes, every this many steps."""
    log_steps: Count = 100
    """Write loss, accuracy and learning rate to metrics.jsonl and TensorBoard every this many steps."""
    batch_size: Count = 32
    """Crops per step, of all processes together."""
    crop_frames: Count = 128
    """Frames of every training crop."""
    longest_crop_frames: Count | None = None
    """Draw the length of the crops for every batch, between `crop_frames` and this. Experimental."""
    spec_augment: SpecAugmentConfig = SpecAugmentConfig()
    channel_augment: ChannelAugmentConfig = ChannelAugmentConfig()
    mixup: Annotated[float, Numeric, Field(ge=0)] = 0.0
    """Both parameters of the beta distribution from which the weight of each crop in its mixture with another is drawn;
    0 turns mixup off, 1 makes all weights equally likely."""
    loss: LossConfig = CrossEntropyConfig()
    """A kind by name, or with its settings: `{kind: aam_softmax, margin: 0.3}`; margins need a cosine classifier."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """`muon` updates the matrices and kernels before the classifier by orthogonal steps, of which fewer are needed, and
    the other weights like `adamw`."""
    learning_rate: Positive = 1e-3
    """Largest learning rate, at the end of the warm-up."""
    weight_decay: Annotated[float, Numeric, Field(ge=0)] = 0.01
    """Weight decay of matrices and kernels; norms and biases have none."""
    max_grad_norm: Positive = 5.0
    """2-norm to which gradients are clipped."""
    ema: Probability = 0.0
    """Decay of the moving average of the weights, which is then used in validation and recognition; 0 turns it off,
    0.999 averages over about a thousand steps."""
    refit_classifier: bool = False
    """Replace the last layer after the last step by linear discriminant analysis of the training utterances, which is
    far ahead of a layer that was trained briefly. Needs another classifier than cosine."""
    accumulate: Count = 1
    """Parts into which a batch is split to fit in memory. The gradient stays the same, except that BatchNorm sees each
    part separately."""
    precision: Precision = "float32"
    """Arithmetic of training steps: `bfloat16` with autocast, `tf32` for matrix products on a GPU, `auto` for bfloat16
    where the processor or GPU computes it and float32 elsewhere, which the run prints. Validation and recognition use
    float32 (float64 with `float64`)."""
    graph: bool = True
    """On a GPU and in one process, capture the step as a CUDA graph after three ordinary ones; if that fails, training
    continues without it and reports so. On a CPU and in several processes steps are never captured."""
    compile: bool = False
    """Compile the model with `torch.compile`; if that fails, training continues without it and reports so."""
    keep_last: Count = 2
    """Number of newest checkpoints to keep; if the last one is damaged, a run resumes from the one before."""
    keep_best: Count = 1
    """Number of best checkpoints to keep."""
    rollbacks: CountOrZero = 0
    """How often a run that diverges or collapses returns to a good checkpoint and continues with half the learning rate
    before it fails."""

    @model_validator(mode="before")
    @classmethod
    def _drop_removed(cls, content: Any) -> Any:
        """Accept the settings of former versions, whose `classifier_steps` was 0 unless given."""
        if isinstance(content, dict) and "classifier_steps" in content:
            if (found := content["classifier_steps"]) != 0:
                raise ValueError(
                    f"classifier_steps: found {found!r:.20}, but this setting no longer exists; leave it out"
                )
            content = {name: value for name, value in content.items() if name != "classifier_steps"}
        return content

    @model_validator(mode="after")
    def _check_warmup(self) -> TrainConfig:
        if self.warmup_steps >= self.total_steps:
            raise ValueError(f"warmup_steps ({self.warmup_steps}) must be below total_steps ({self.total_steps})")
        return self

    @model_validator(mode="after")
    def _check_crops(self) -> TrainConfig:
        if self.longest_crop_frames is not None and self.longest_crop_frames < self.crop_frames:
            raise ValueError(
                f"longest_crop_frames ({self.longest_crop_frames}) must not be below crop_frames ({self.crop_frames})"
            )
        return self

    @model_validator(mode="after")
    def _check_accumulate(self) -> TrainConfig:
        if self.accumulate > self.batch_size:
            raise ValueError(f"accumulate ({self.accumulate}) must not exceed batch_size ({self.batch_size})")
        return self
