"""Settings of an experiment, and how they are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, model_validator

from speakerid.base.files import StrPath
from speakerid.config.data import DataConfig
from speakerid.config.model import ModelConfig
from speakerid.config.settings import FilePath, Numeric, Settings, apply_override, parse
from speakerid.config.shipped import find_config
from speakerid.config.train import TrainConfig
from speakerid.config.yaml_reader import read_yaml


class Config(Settings, frozen=True):
    """Settings of an experiment."""

    run_dir: FilePath
    """Folder for everything the run writes."""
    init_from: FilePath | None = None
    """Checkpoint with the initial weights, of the same speakers or others: everything before the classifier, and the
    classifier if its classes and settings are the same. Resuming a run does not need the file."""
    seed: Annotated[int, Numeric, Field(ge=0, lt=2**64)] = 0
    """Determines everything random: initial weights, batches, augmentation, dropout."""
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

    @model_validator(mode="after")
    def _check_refit(self) -> Config:
        if self.train.refit_classifier and self.model.classifier.kind == "cosine":
            raise ValueError(
                "train.refit_classifier=true needs model.classifier=linear, mlp or batchnorm, found cosine; set "
                "train.refit_classifier=false"
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
