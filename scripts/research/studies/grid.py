"""Read a study: a base experiment, what is varied, and the resulting experiments."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, NonNegativeInt, model_validator

from speakerid import Config, UserError
from speakerid.config.settings import Settings, apply_override, parse
from speakerid.config.yaml_reader import read_yaml

MOST_AXES = 4
"""Rows, columns, horizontal axis and colors of the figure."""
OWN = ("run_dir", "seed", "device")
"""Settings of each run that the study sets."""


class Axis(Settings, frozen=True):
    """Axis of a study: the `values` of one `setting`, or `alternatives` that each override several settings."""

    setting: str | None = None
    values: tuple[bool | int | float | str, ...] = ()
    alternatives: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Overrides `section.setting=value`, as on the command line, by the alternative's name in the tables."""

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> "Axis":
        if bool(self.setting) != bool(self.values) or bool(self.setting) == bool(self.alternatives):
            raise ValueError("expected either a setting and its values, or alternatives")
        value, count = Counter(map(str, self.values)).most_common(1)[0] if self.values else ("", 0)
        if count > 1:
            raise ValueError(f"values: found {value} twice, expected distinct values")
        return self

    @property
    def levels(self) -> dict[str, tuple[str, ...]]:
        """Overrides by the level's name."""
        return self.alternatives or {str(value): (f"{self.setting}={value}",) for value in self.values}


class StudyConfig(Settings, frozen=True):
    """Content of a study's file."""

    base: Path
    """Path of the base experiment, relative to the study's file."""
    overrides: tuple[str, ...] = ()
    """Overrides for all runs, applied before those of the axes."""
    axes: Annotated[dict[str, dict[str, Any]], Field(min_length=1, max_length=MOST_AXES)]
    """An `Axis` each, for rows, columns, horizontal axis and colors of the figure, in this order."""
    seeds: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)] = (0,)


@dataclass(frozen=True)
class Cell:
    """One run of a study."""

    levels: tuple[str, ...]
    """Level of each axis."""
    config: Config

    @property
    def name(self) -> str:
        """Hash of the settings, the same in every study: so a grid can grow, and finished runs are kept."""
        content = self.config.model_dump(mode="json", exclude={"run_dir"})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Study:
    """A grid of experiments.

    Attributes:
        axes: the levels of each axis.
        cells: every combination of levels with every seed, in the order of the file.
    """

    axes: dict[str, list[str]]
    cells: list[Cell]


def load_study(path: Path) -> Study:
    """Read a study from a YAML file, and check each of its experiments.

    Raises:
        UserError: names the file and the field, and the combination that is not a valid experiment.
    """
    settings = parse(StudyConfig, read_yaml(path), path)
    axes = {name: parse(Axis, content, f"{path}: axes.{name}").levels for name, content in settings.axes.items()}
    cells = list(_cells(path, settings, axes))
    (name, count), *_ = Counter(cell.name for cell in cells).most_common(1)
    if count > 1:
        same = " and ".join(_title(cell) for cell in cells if cell.name == name)
        raise UserError(f"{path}: {same} are the same experiment; keep one of them")
    return Study({name: list(levels) for name, levels in axes.items()}, cells)


def _cells(path: Path, settings: StudyConfig, axes: dict[str, dict[str, tuple[str, ...]]]) -> Iterator[Cell]:
    base = read_yaml(path.parent / settings.base)
    for levels in product(*axes.values()):
        over = [axis[level] for axis, level in zip(axes.values(), levels, strict=True)]
        overrides = [*settings.overrides, *(override for of_axis in over for override in of_axis)]
        for seed in settings.seeds:
            where = f"{path}: {' | '.join(levels)} | seed {seed}"
            yield Cell(levels, _config(base, overrides, seed, where))


def _config(base: dict[str, Any], overrides: list[str], seed: int, where: str) -> Config:
    content = deepcopy(base)
    for override in overrides:
        if override.partition("=")[0] in OWN:
            raise UserError(f"{where}: override {override!r}: expected none of {', '.join(OWN)}, which the study sets")
        try:
            apply_override(content, override)
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
    # One run, one trace of norms: on the CPU, batches in one piece, and no rollback after a failure.
    config = parse(Config, content | {"run_dir": "runs", "seed": seed, "device": "cpu"}, where)
    for name, found, expected in (
        ("accumulate", config.train.accumulate, 1),
        ("rollbacks", config.train.rollbacks, 0),
        ("compile", config.train.compile, False),
    ):
        if found != expected:
            raise UserError(f"{where}: train.{name}: found {found}, expected {expected} in a study, which traces norms")
    return config


def _title(cell: Cell) -> str:
    return " | ".join([*cell.levels, f"seed {cell.config.seed}"])
