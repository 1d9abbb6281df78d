"""Settings of the training: steps, batches, loss, augmentation, optimizer, checkpoints."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from speakerid.settings import Choice, Count, CountOrZero, Named, Numeric, Positive, Probability, Settings


class _Smoothed(Choice, frozen=True):
    label_smoothing: Probability = 0.0
    """Share of the target that is spread evenly over all classes (Szegedy et al., 2016, section 7)."""


class CrossEntropyConfig(_Smoothed, frozen=True):
    kind: Literal["cross_entropy"] = "cross_entropy"


class _Margin(_Smoothed, frozen=True):
    margin_warmup: Annotated[float, Numeric, Field(ge=0, le=1)] = 0.3
    """Share of the run over which the margin rises from 0 in a straight line: whole at once, it keeps many a model
    from learning anything."""


class AmSoftmaxConfig(_Margin, frozen=True):
    """Additive margin on the cosine."""

    kind: Literal["am_softmax"]
    margin: Annotated[float, Numeric, Field(ge=0, lt=2)] = 0.2
    """Taken from the cosine of the true speaker."""


class AamSoftmaxConfig(_Margin, frozen=True):
    """Additive margin on the angle; with `sub_centers` of the classifier it is sub-center AAM."""

    kind: Literal["aam_softmax"]
    margin: Annotated[float, Numeric, Field(ge=0, lt=1.57)] = 0.2
    """Radians added to the angle of the true speaker."""


LossConfig = Annotated[CrossEntropyConfig | AmSoftmaxConfig | AamSoftmaxConfig, Field(discriminator="kind"), Named]


class SpecAugmentConfig(Settings, frozen=True):
    """Stretches of frames and of bands hidden from the model, anew for every crop; off by default."""

    time_masks: Annotated[int, Numeric, Field(ge=0, le=100)] = 0
    time_width: Count = 20
    """Frames that a mask hides at most."""
    band_masks: Annotated[int, Numeric, Field(ge=0, le=100)] = 0
    band_width: Count = 6
    """Mel bands that a mask hides at most."""


class ChannelAugmentConfig(Settings, frozen=True):
    """Probabilities that a crop passes through another channel, anew for every crop; off by default.

    See `speakerid.layers.channel_augment.ChannelAugment`. Features with `equalise` have no channel, and are refused.
    """

    reverberation: Probability = 0.0
    """A decaying tail, as rooms make it."""
    babble: Probability = 0.0
    """One to three other utterances of the batch, 5 to 25 dB below."""
    noise: Probability = 0.0
    """Noise of a random smooth spectrum, 0 to 25 dB below."""
    equalization: Probability = 0.0
    """A random smooth gain over the bands, up to 6 dB (root mean square)."""
    band_limit: Probability = 0.0
    """Bands above 3 to 8 kHz, and half the time below 50 to 400 Hz, at the floor."""


class TrainConfig(Settings, frozen=True):
    total_steps: Count = 70_000
    warmup_steps: CountOrZero = 1_000
    """Steps of linear warm-up, before half a cosine down to zero."""
    valid_steps: Count = 2_000
    """Validate, and perhaps save best.pt, every so many steps and after the last one."""
    classifier_steps: CountOrZero = 0
    """Batches behind the last step from which the classifier alone learns on, where a training is too short for its
    classes; each costs a third of a step, and the memory of its embeddings. A bundle has no classifier, so it gains
    nothing."""
    save_steps: Count = 500
    """Write last.pt, from which a run resumes, every so many steps."""
    log_steps: Count = 100
    """Write loss, accuracy and learning rate to metrics.jsonl and TensorBoard every so many steps."""
    batch_size: Count = 32
    crop_frames: Count = 128
    """Frames of every training crop."""
    longest_crop_frames: Count | None = None
    """Draw the crops' length anew for every batch, between `crop_frames` and this."""
    spec_augment: SpecAugmentConfig = SpecAugmentConfig()
    channel_augment: ChannelAugmentConfig = ChannelAugmentConfig()
    mixup: Annotated[float, Numeric, Field(ge=0)] = 0.0
    """Both parameters of the beta distribution from which the share of each crop in its mixture with another is drawn;
    0 is no mixing, 1 any share alike."""
    loss: LossConfig = CrossEntropyConfig()
    """A kind by its name, or with its settings: `{kind: aam_softmax, margin: 0.3}`; margins want cosines."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """`muon` moves the matrices and kernels in front of the classifier by orthogonal steps, of which fewer are
    needed, and the rest as `adamw` does."""
    learning_rate: Positive = 1e-3
    weight_decay: Annotated[float, Numeric, Field(ge=0)] = 0.01
    """Of matrices and kernels; norms and biases do not decay."""
    max_grad_norm: Positive = 5.0
    """Gradients are scaled down to this 2-norm."""
    ema: Probability = 0.0
    """Decay of the moving average of the weights which then validates and recognises; 0 is none, 0.999 remembers about
    a thousand steps."""
    accumulate: Count = 1
    """Parts a batch is worked through in, one after the other, to fit in memory: the same gradient, but for
    BatchNorm, which sees each part by itself."""
    precision: Literal["float32", "tf32", "bfloat16", "float64"] = "float32"
    """Of the arithmetic in training steps: `bfloat16` by autocast, `tf32` for matrix products on a GPU. Validation and
    recognition are float32 (float64 where training is)."""
    compile: bool = False
    """Compile the model with `torch.compile`; where that fails, training goes on without it and says so."""
    keep_last: Count = 2
    """Newest checkpoints to keep: where the last one is damaged, a run resumes from the one before."""
    keep_best: Count = 1
    """Best checkpoints to keep."""
    rollbacks: CountOrZero = 0
    """How often a run that diverges or collapses goes back to its last checkpoint and on with half the learning rate
    before it is given up."""

    @model_validator(mode="after")
    def _warm_up_ends(self) -> TrainConfig:
        if self.warmup_steps >= self.total_steps:
            raise ValueError(f"warmup_steps ({self.warmup_steps}) must be below total_steps ({self.total_steps})")
        return self

    @model_validator(mode="after")
    def _crops_grow(self) -> TrainConfig:
        if self.longest_crop_frames is not None and self.longest_crop_frames < self.crop_frames:
            raise ValueError(
                f"longest_crop_frames ({self.longest_crop_frames}) must not be below crop_frames ({self.crop_frames})"
            )
        return self

    @model_validator(mode="after")
    def _parts_hold_something(self) -> TrainConfig:
        if self.accumulate > self.batch_size:
            raise ValueError(f"accumulate ({self.accumulate}) must not exceed batch_size ({self.batch_size})")
        return self
