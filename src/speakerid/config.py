"""Every setting of an experiment, its default and its check. Nothing below this file knows that YAML exists."""

from __future__ import annotations

import difflib
import re
import typing
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from speakerid.errors import UserError, describe

DEMO_ROOT = Path("data/demo")
"""Where the demonstration corpus lives; written on first use when it is missing."""

Probability = Annotated[float, Field(ge=0, lt=1)]


class Settings(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Frozen, and strict about names: an unknown key is an error."""


class FeatureConfig(Settings, frozen=True):
    """How a waveform becomes log-mel features; stored in every corpus (`features.yaml`) and every checkpoint."""

    sample_rate: PositiveInt = 16_000
    """Hz."""
    window_length: PositiveInt = 400
    """Samples of the Hann window, and of the Fourier transform: 25 ms."""
    hop_length: PositiveInt = 160
    """Samples between frames: 10 ms."""
    n_mels: PositiveInt = 40
    f_min: Annotated[float, Field(ge=0)] = 50.0
    """Hz, the lower edge of the lowest band."""
    floor: PositiveFloat = 1e-9
    """Power below which the logarithm is clamped: log(1e-9) = -20.723."""
    level: Annotated[float, Field(le=0)] = -3.0
    """Peak level in dB of full scale to which a recording is brought."""
    trim_silence: bool = True
    """Remove silences, within a recording too."""
    equalise: bool = False
    """Every band standardised over all frames of a speaker, which takes the channel out.

    It needs to know who speaks, so it is for measuring (`speakerid prepare --equalise`), not for use.
    """

    def differences(self, other: FeatureConfig) -> dict[str, tuple[Any, Any]]:
        """Every setting that differs from another's: its value here and there."""
        mine, theirs = self.model_dump(), other.model_dump()
        return {name: (mine[name], theirs[name]) for name in mine if mine[name] != theirs[name]}


class DataConfig(Settings, frozen=True):
    """Which corpus, and which part of it validates."""

    root: Path = DEMO_ROOT
    """Folder in HW4 layout (see data/README.md)."""
    split: Literal["auto", "session", "order", "random"] = "auto"
    """How each speaker's utterances are parted: `session` keeps sessions whole, `order` takes the last ones,
    `random` mixes sessions into both parts; `auto` is `session` for every speaker of two known sessions or more,
    and `order` for the others."""
    valid_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of each speaker's utterances that validates."""
    dtype: Literal["float16", "float32"] | None = None
    """Of the packed copy; float16 by default (rounded by one part in 2,048 at most, and half the size), or what
    `prepare` packed the corpus as."""
    packed: Path | None = None
    """Folder for the packed copy of the features; by default `packed/` inside `root`."""
    frames_per_batch: PositiveInt = 16_384
    """Padded frames in one batch of whole utterances (validation and inference), which bounds the memory."""


class TransformerConfig(Settings, frozen=True):
    kind: Literal["transformer"]
    num_layers: PositiveInt = 3
    nhead: PositiveInt = 1
    dim_feedforward: PositiveInt = 256
    dropout: Probability = 0.1
    qkv_bias: bool = True
    norm_first: bool = False
    """Normalise before each sub-layer (pre-norm) instead of after it (post-norm)."""
    share_layers: bool = False
    """Apply one layer's weights `num_layers` times."""


class ConformerConfig(Settings, frozen=True):
    kind: Literal["conformer"]
    num_layers: PositiveInt = 3
    nhead: PositiveInt = 1
    dim_feedforward: PositiveInt = 256
    dropout: Probability = 0.1
    kernel_size: PositiveInt = 31
    """Frames seen by the depthwise convolution; odd."""
    conv_channels: PositiveInt | None = None
    """Channels of the depthwise convolution; by default `d_model`."""
    glu: bool = True
    """Gated linear unit in front of the depthwise convolution, as in the paper; SiLU where false."""
    share_layers: bool = False

    @model_validator(mode="after")
    def _odd_kernel(self) -> ConformerConfig:
        if self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd to stay centred on its frame, found {self.kernel_size}")
        return self


EncoderConfig = Annotated[TransformerConfig | ConformerConfig, Field(discriminator="kind")]


class ModelConfig(Settings, frozen=True):
    """(mean subtraction →) prenet → encoder → mean pooling → classifier."""

    d_model: PositiveInt = 80
    subtract_mean: bool = False
    """Subtract from every band its mean over the utterance, which takes out what a microphone adds throughout."""
    encoder: EncoderConfig
    classifier: Literal["mlp", "batchnorm", "linear"] = "batchnorm"
    """`mlp`: Linear-ReLU-Linear; `batchnorm`: BatchNorm1d-Linear; `linear`: one Linear."""

    @model_validator(mode="after")
    def _heads_divide_width(self) -> ModelConfig:
        if self.d_model % self.encoder.nhead:
            raise ValueError(f"encoder.nhead ({self.encoder.nhead}) must divide d_model ({self.d_model})")
        return self


class TrainConfig(Settings, frozen=True):
    total_steps: PositiveInt = 70_000
    warmup_steps: Annotated[int, Field(ge=0)] = 1_000
    """Steps of linear warm-up, before half a cosine down to zero."""
    valid_steps: PositiveInt = 2_000
    """Validate, and perhaps save best.pt, every so many steps and after the last one."""
    save_steps: PositiveInt = 500
    """Write last.pt, from which a run resumes, every so many steps."""
    log_steps: PositiveInt = 100
    """Write loss, accuracy and learning rate to metrics.jsonl and TensorBoard every so many steps."""
    batch_size: PositiveInt = 32
    crop_frames: PositiveInt = 128
    """Frames of every training crop."""
    learning_rate: PositiveFloat = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    max_grad_norm: PositiveFloat = 5.0
    """Gradients are scaled down to this 2-norm."""
    accumulate: PositiveInt = 1
    """Parts a batch is worked through in, one after the other, to fit in memory: the same gradient, but for
    BatchNorm, which sees each part by itself."""
    precision: Literal["float32", "tf32", "bfloat16", "float64"] = "float32"
    """Of the arithmetic in training steps: `bfloat16` by autocast, `tf32` for matrix products on a GPU. Validation and
    recognition are float32 (float64 where training is)."""
    compile: bool = False
    """Compile the model with `torch.compile`; where that fails, training goes on without it and says so."""
    keep_last: PositiveInt = 2
    """Newest checkpoints to keep: where the last one is damaged, a run resumes from the one before."""
    keep_best: PositiveInt = 1
    """Best checkpoints to keep."""
    rollbacks: Annotated[int, Field(ge=0)] = 0
    """How often a run that diverges or collapses goes back to its last checkpoint and on with half the learning rate
    before it is given up."""

    @model_validator(mode="after")
    def _warm_up_ends(self) -> TrainConfig:
        if self.warmup_steps >= self.total_steps:
            raise ValueError(f"warmup_steps ({self.warmup_steps}) must be below total_steps ({self.total_steps})")
        return self

    @model_validator(mode="after")
    def _parts_hold_something(self) -> TrainConfig:
        if self.accumulate > self.batch_size:
            raise ValueError(f"accumulate ({self.accumulate}) must not exceed batch_size ({self.batch_size})")
        return self


class Config(Settings, frozen=True):
    """One experiment."""

    run_dir: Path
    """Folder of everything the run writes."""
    seed: Annotated[int, Field(ge=0)] = 0
    device: str = "auto"
    """`cpu`, `cuda`, `cuda:1`, …; `auto` takes the first GPU, else the CPU."""
    deterministic: bool = False
    """Use only operations on a GPU that give the same bits every time; on a CPU they do anyway."""
    data: DataConfig = DataConfig()
    model: ModelConfig
    train: TrainConfig = TrainConfig()

    @model_validator(mode="after")
    def _batch_norm_needs_a_batch(self) -> Config:
        smallest = self.train.batch_size // self.train.accumulate
        if smallest < 2 and self.model.classifier == "batchnorm":
            raise ValueError(
                f"train.batch_size must be at least {2 * self.train.accumulate} with model.classifier=batchnorm and "
                f"train.accumulate={self.train.accumulate}, found {self.train.batch_size}"
            )
        return self


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses a key written twice, of which YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if not key.tag.endswith(":merge")]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} is written twice", node.start_mark)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        UserError: the file is missing, is no YAML, or holds something else than a mapping.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; expected a YAML file, see configs/") from error
    except (
        yaml.YAMLError,
        ValueError,
        TypeError,
    ) as error:  # no UTF-8, no such date, a false tag
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: found {type(content).__name__}, expected settings like 'run_dir: runs/first'")
    return content


def load_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """The experiment in a YAML file, with `section.setting=value` overrides laid over it.

    Raises:
        UserError: naming every unknown or wrong setting at once.
    """
    content = read_yaml(path)
    for override in overrides:
        _lay_over(content, override)
    source = f"{path} with {' '.join(overrides)}" if overrides else str(path)
    return parse(Config, content, source)


def parse_features(overrides: Sequence[str]) -> FeatureConfig:
    """The feature settings with `setting=value` laid over the defaults.

    Raises:
        UserError: naming every unknown or wrong setting at once.
    """
    content: dict[str, Any] = {}
    for override in overrides:
        _lay_over(content, override)
    return parse(FeatureConfig, content, "--features")


def parse(settings: type[_S], content: object, source: object) -> _S:
    """`content` as checked settings; `source` names the file in the error.

    Raises:
        UserError: naming every unknown or wrong setting at once.
    """
    try:
        return settings.model_validate(content)
    except ValidationError as error:
        lines = []
        for (field, reason), problem in zip(describe(error), error.errors(), strict=True):
            field = re.sub(rf"\bencoder\.({'|'.join(_ENCODER_KINDS)})\b", "encoder", field)  # a tag, not in the file
            if problem["type"] == "extra_forbidden":
                reason = _unknown(settings, problem["loc"])
            lines.append(f"{field}: {reason}" if field else reason)
        raise UserError(f"{source}: " + "; ".join(lines)) from error


_S = typing.TypeVar("_S", bound=Settings)
_ENCODER_KINDS = {"transformer": TransformerConfig, "conformer": ConformerConfig}


def _lay_over(content: dict[str, Any], override: str) -> None:
    """Set one `section.setting=value`; the value is read as YAML."""
    name, equals, text = override.partition("=")
    if not equals or not all(name.split(".")):
        raise UserError(f"override {override!r}: expected section.setting=value, as in model.d_model=96")
    try:
        value = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"override {override!r}: the value is not valid YAML") from error
    *sections, setting = name.split(".")
    for section in sections:
        if content.get(section) is None:  # missing, or written without anything below it
            content[section] = {}
        content = content[section]
        if not isinstance(content, dict):
            raise UserError(f"override {override!r}: {section!r} is a setting, not a section")
    content[setting] = value


def _unknown(settings: type[Settings], loc: tuple[int | str, ...]) -> str:
    """Why the key at `loc` is refused, with the nearest known name or where it would belong."""
    section: type[BaseModel] = settings
    for part in loc[:-1]:
        annotation = section.model_fields[str(part)].annotation if part in section.model_fields else None
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            section = annotation
        elif part in _ENCODER_KINDS:
            section = _ENCODER_KINDS[str(part)]
    key, known = str(loc[-1]), list(section.model_fields)
    elsewhere = [path for path in _paths(settings) if path.split(".")[-1] == key]
    if elsewhere:
        return f"no setting here; it belongs to {' or '.join(elsewhere)}"
    near = difflib.get_close_matches(key, known, n=1)
    if near:
        return f"unknown setting; did you mean {near[0]!r}?"
    return f"unknown setting; known here: {', '.join(known)}"


def _paths(section: type[BaseModel], prefix: str = "") -> list[str]:
    """Dotted names of all settings below `section`; an encoder's carry its kind."""
    paths = []
    for name, field in section.model_fields.items():
        paths.append(prefix + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            paths += _paths(field.annotation, f"{prefix}{name}.")
        elif name == "encoder":
            for kind, encoder in _ENCODER_KINDS.items():
                paths += _paths(encoder, f"{prefix}encoder (kind: {kind}).")
    return paths
