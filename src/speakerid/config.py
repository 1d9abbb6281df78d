"""Settings of an experiment, with their defaults and checks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from speakerid.files import StrPath
from speakerid.model_config import ModelConfig
from speakerid.settings import Count, FilePath, Numeric, Positive, Probability, Settings, apply_override, parse
from speakerid.shipped_configs import find_config
from speakerid.train_config import TrainConfig
from speakerid.yaml_reader import read_yaml

DEMO_ROOT = Path("data/demo")
"""Folder of the demonstration corpus, which is written on first use if it is missing."""


class FeatureConfig(Settings, frozen=True):
    """How a waveform becomes log-mel features; stored in every corpus (`features.yaml`) and every checkpoint."""

    sample_rate: Count = 16_000
    """In Hz."""
    window_length: Count = 400
    """Length of the Hann window and of the Fourier transform, in samples: 25 ms."""
    hop_length: Count = 160
    """Samples between frames: 10 ms."""
    n_mels: Annotated[int, Numeric, Field(ge=1, le=10_000)] = 40
    f_min: Annotated[float, Numeric, Field(ge=0)] = 50.0
    """Lower edge of the lowest band, in Hz."""
    floor: Positive = 1e-9
    """Power below which the logarithm is clamped: log(1e-9) = -20.723."""
    level: Annotated[float, Numeric, Field(le=0)] = -3.0
    """Peak level to which a recording is normalized, in dB of full scale."""
    trim_silence: bool = True
    """Remove silence, including pauses within a recording."""
    equalise: bool = False
    """Standardize every band over all frames of a speaker, which removes the channel.

    This needs the speaker's identity, so it is for measuring (`speakerid prepare --equalise`), not for use.
    """

    @property
    def frames_per_second(self) -> float:
        return self.sample_rate / self.hop_length


class DataConfig(Settings, frozen=True):
    """The corpus, and the part of it that is held out for validation."""

    root: FilePath = DEMO_ROOT
    """Folder in HW4 layout (homework 4 of Machine Learning, National Taiwan University; see data/README.md)."""
    split: Literal["auto", "session", "order", "random"] = "auto"
    """How each speaker's utterances are split: `session` keeps sessions whole, `order` holds the last utterances out,
    `random` mixes sessions into both parts; `auto` is `session` for every speaker with two known sessions or more, and
    `order` for the others."""
    valid_fraction: Annotated[float, Numeric, Field(gt=0, lt=1)] = 0.1
    """Share of each speaker's utterances that is held out for validation."""
    folds: Annotated[int, Numeric, Field(ge=0, le=10)] = 0
    """Folds of a cross-validation over sessions, instead of `valid_fraction`: for each fold a model is trained without
    its sessions and validated on them, and the final model is trained on everything. Takes `folds` + 1 times as long.
    Corpora of more than 5,000 labeled utterances use `valid_fraction` anyway, and so does 0."""
    dtype: Literal["float16", "float32"] | None = None
    """Data type of the packed copy; by default float16 (rounded by at most one part in 2,048, and half the size), or
    the one in which `prepare` packed the corpus."""
    packed: FilePath | None = None
    """Folder for the packed copy of the features; by default `packed/` inside `root`."""
    company_share: Probability = 0.5
    """Share of every training batch that is company, that is, other people who only help to train (`prepare
    --company`). Reduced if company is few people, so that none is drawn more often than the average speaker."""
    frames_per_batch: Count = 16_384
    """Padded frames in a batch of whole utterances (validation and inference), which bounds the memory."""


class Config(Settings, frozen=True):
    """Settings of an experiment."""

    run_dir: FilePath
    """Folder for everything the run writes."""
    init_from: FilePath | None = None
    """Checkpoint with the initial weights, of the same speakers or others: everything before the classifier, and the
    classifier if its classes and settings are the same. Resuming a run does not need the file."""
    seed: Annotated[int, Numeric, Field(ge=0, lt=2**64)] = 0
    device: str = "auto"
    """`cpu`, `cuda`, `cuda:1`, …; `auto` is the first GPU, or the CPU if there is none."""
    deterministic: bool = False
    """Use only deterministic operations on a GPU; those on a CPU always are."""
    data: DataConfig = DataConfig()
    model: ModelConfig
    train: TrainConfig = TrainConfig()

    @model_validator(mode="after")
    def _check_batch_size(self) -> Config:
        smallest = self.train.batch_size // self.train.accumulate
        if smallest < 2 and self.model.normalizes_over_batch:
            raise ValueError(
                f"train.batch_size must be at least {2 * self.train.accumulate} with "
                f"model.classifier={self.model.classifier.kind} and train.accumulate={self.train.accumulate}, "
                f"found {self.train.batch_size}"
            )
        return self

    @model_validator(mode="after")
    def _check_folds(self) -> Config:
        if self.data.folds == 1:
            raise ValueError("data.folds: found 1, expected 0 (none) or at least 2")
        return self

    @model_validator(mode="after")
    def _check_margin(self) -> Config:
        loss, classifier = self.train.loss, self.model.classifier
        if loss.kind != "cross_entropy" and classifier.kind != "cosine":
            raise ValueError(
                f"train.loss={loss.kind} applies a margin to cosines, so it needs model.classifier=cosine, "
                f"found {classifier.kind}"
            )
        return self


def load_config(path: StrPath, overrides: Sequence[str] = ()) -> Config:
    """Read the experiment in a YAML file and apply `section.setting=value` overrides.

    Args:
        path: the file, or the name of one that ships: `few_minutes`.
        overrides: settings that override the file.

    Raises:
        UserError: settings are unknown or wrong; the message names up to 20 of them.
    """
    path = find_config(path)
    content = read_yaml(path)
    for override in overrides:
        apply_override(content, override)
    source = f"{path} with {' '.join(overrides)}" if overrides else str(path)
    return parse(Config, content, source)


def parse_features(overrides: Sequence[str]) -> FeatureConfig:
    """The default feature settings with `setting=value` overrides applied.

    Raises:
        UserError: settings are unknown or wrong; the message names up to 20 of them.
    """
    content: dict[str, Any] = {}
    for override in overrides:
        apply_override(content, override)
    return parse(FeatureConfig, content, "--features")
