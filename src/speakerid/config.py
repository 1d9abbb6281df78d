"""Every setting of an experiment, its default and its check. Nothing below this file knows that YAML exists."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from speakerid.model_config import ModelConfig
from speakerid.settings import Count, FilePath, Numeric, Positive, Probability, Settings, lay_over, parse
from speakerid.train_config import TrainConfig
from speakerid.yaml_reader import read_yaml

DEMO_ROOT = Path("data/demo")
"""Where the demonstration corpus lives; written on first use when it is missing."""


class FeatureConfig(Settings, frozen=True):
    """How a waveform becomes log-mel features; stored in every corpus (`features.yaml`) and every checkpoint."""

    sample_rate: Count = 16_000
    """Hz."""
    window_length: Count = 400
    """Samples of the Hann window, and of the Fourier transform: 25 ms."""
    hop_length: Count = 160
    """Samples between frames: 10 ms."""
    n_mels: Annotated[int, Numeric, Field(ge=1, le=10_000)] = 40
    f_min: Annotated[float, Numeric, Field(ge=0)] = 50.0
    """Hz, the lower edge of the lowest band."""
    floor: Positive = 1e-9
    """Power below which the logarithm is clamped: log(1e-9) = -20.723."""
    level: Annotated[float, Numeric, Field(le=0)] = -3.0
    """Peak level in dB of full scale to which a recording is brought."""
    trim_silence: bool = True
    """Remove silences, within a recording too."""
    equalise: bool = False
    """Every band standardised over all frames of a speaker, which takes the channel out.

    It needs to know who speaks, so it is for measuring (`speakerid prepare --equalise`), not for use.
    """

    @property
    def frames_per_second(self) -> float:
        return self.sample_rate / self.hop_length


class DataConfig(Settings, frozen=True):
    """Which corpus, and which part of it validates."""

    root: FilePath = DEMO_ROOT
    """Folder in HW4 layout (see data/README.md)."""
    split: Literal["auto", "session", "order", "random"] = "auto"
    """How each speaker's utterances are parted: `session` keeps sessions whole, `order` takes the last ones,
    `random` mixes sessions into both parts; `auto` is `session` for every speaker of two known sessions or more,
    and `order` for the others."""
    valid_fraction: Annotated[float, Numeric, Field(gt=0, lt=1)] = 0.1
    """Share of each speaker's utterances that validates."""
    folds: Annotated[int, Numeric, Field(ge=0, le=10)] = 0
    """Folds of a cross-validation over sessions, in place of `valid_fraction`: a model is trained without the sessions
    of each fold to be judged by them, and the model that ships is trained on everything. Takes `folds` + 1 times as
    long. Corpora of more than 5,000 labelled utterances hold `valid_fraction` out all the same; 0 always does."""
    dtype: Literal["float16", "float32"] | None = None
    """Of the packed copy; float16 by default (rounded by one part in 2,048 at most, and half the size), or what
    `prepare` packed the corpus as."""
    packed: FilePath | None = None
    """Folder for the packed copy of the features; by default `packed/` inside `root`."""
    company_share: Probability = 0.5
    """Share of every training batch that is company, where the corpus has any (`prepare --company`). It is less where
    company is few people: nobody of them is drawn more often than a speaker is on average."""
    frames_per_batch: Count = 16_384
    """Padded frames in one batch of whole utterances (validation and inference), which bounds the memory."""


class Config(Settings, frozen=True):
    """One experiment."""

    run_dir: FilePath
    """Folder of everything the run writes."""
    init_from: FilePath | None = None
    """Checkpoint whose weights a run begins with, of the same speakers or others: all in front of the classifier, and
    the classifier where its classes and its settings are the same. A run that is resumed does not need the file."""
    seed: Annotated[int, Numeric, Field(ge=0, lt=2**64)] = 0
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
        if smallest < 2 and self.model.normalises_over_batch:
            raise ValueError(
                f"train.batch_size must be at least {2 * self.train.accumulate} with "
                f"model.classifier={self.model.classifier.kind} and train.accumulate={self.train.accumulate}, "
                f"found {self.train.batch_size}"
            )
        return self

    @model_validator(mode="after")
    def _a_fold_has_something_to_train_on(self) -> Config:
        if self.data.folds == 1:
            raise ValueError("data.folds: found 1, expected 0 (none) or at least 2")
        return self

    @model_validator(mode="after")
    def _margins_are_of_cosines(self) -> Config:
        loss, classifier = self.train.loss, self.model.classifier
        if loss.kind != "cross_entropy" and classifier.kind != "cosine":
            raise ValueError(
                f"train.loss={loss.kind} takes a margin from cosines, so it needs model.classifier=cosine, "
                f"found {classifier.kind}"
            )
        return self


def load_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """The experiment in a YAML file, with `section.setting=value` overrides laid over it.

    Raises:
        UserError: naming every unknown or wrong setting at once.
    """
    content = read_yaml(path)
    for override in overrides:
        lay_over(content, override)
    source = f"{path} with {' '.join(overrides)}" if overrides else str(path)
    return parse(Config, content, source)


def parse_features(overrides: Sequence[str]) -> FeatureConfig:
    """The feature settings with `setting=value` laid over the defaults.

    Raises:
        UserError: naming every unknown or wrong setting at once.
    """
    content: dict[str, Any] = {}
    for override in overrides:
        lay_over(content, override)
    return parse(FeatureConfig, content, "--features")
