"""metrics.jsonl, the log of a run: a JSON object per line. It is read without torch, and damaged lines are skipped."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt, ValidationError, model_validator
from pydantic_core import from_json

from speakerid.base.files import StrPath, check_regular

METRICS = "metrics.jsonl"


class Record(BaseModel, frozen=True, extra="ignore", strict=True):
    """Known fields of a line."""

    step: Annotated[int, Field(ge=0, lt=2**63)]
    """Steps done; for a rollback, the step it returned to."""
    part: str
    """`train`, `valid`, `rollback` or `given up`; readers ignore others, which other versions write."""
    accuracy: float | None = None
    macro_accuracy: float | None = None
    loss: float | None = None
    steps_per_second: float | None = None
    utterances: PositiveInt | None = None
    """Number of utterances of a validation."""
    rollbacks: NonNegativeInt | None = None
    """Number of rollbacks so far."""

    @model_validator(mode="after")
    def _check_figures(self) -> "Record":
        if (self.part == "valid" and self.accuracy is None) or (self.part == "train" and self.loss is None):
            raise ValueError("the figure of this line is missing")
        return self

    @property
    def rank(self) -> tuple[float, float] | None:
        """Sort key of a validation, greatest for the best one; None if not a validation or not finite."""
        if self.part != "valid" or self.accuracy is None or not math.isfinite(self.accuracy):
            return None
        return rank(self.accuracy, self.loss)


def rank(accuracy: float, loss: float | None) -> tuple[float, float]:
    """Sort key of a validation, greatest for the best one: by accuracy, ties broken by loss."""
    return accuracy, -math.inf if loss is None or math.isnan(loss) else -loss


class Line(NamedTuple):
    """A line of the log."""

    text: bytes
    """As in the file, without the line break."""
    record: Record | None
    """None if the line is damaged."""


@dataclass(frozen=True)
class Log:
    """Content of a log."""

    lines: list[Line]
    """All lines, without a last one that has no line break, which a killed run leaves."""
    records: list[Record]
    """Training and validation, without the records that a rollback undid, so that steps never decrease."""
    step: int = 0
    """Step of the last record; 0 if there is none."""
    rollbacks: int = 0
    given_up: bool = False
    """Whether the run ended because it diverged."""

    @property
    def train(self) -> list[Record]:
        return [record for record in self.records if record.part == "train"]

    @property
    def valid(self) -> list[Record]:
        return [record for record in self.records if record.part == "valid"]

    @property
    def ranked(self) -> list[Record]:
        """Validations, the best first: by accuracy, ties broken by loss, then by step."""
        return sorted((record for record in self.records if record.rank), key=lambda r: r.rank or (), reverse=True)

    @property
    def damaged(self) -> list[int]:
        """Numbers of the damaged lines, from 1 on."""
        return [number for number, line in enumerate(self.lines, 1) if line.record is None]


def read_log(folder: StrPath) -> Log:
    """Read the log of the run in a folder.

    Raises:
        OSError: the file cannot be read.
        UserError: not a regular file; the message does not contain its name.
    """
    path = Path(folder) / METRICS
    check_regular(path)
    lines = [Line(text, _parsed(text)) for text in path.read_bytes().split(b"\n")[:-1]]
    records: list[Record] = []
    step = rollbacks = 0
    given_up = False
    for _, record in lines:
        if record is None or record.part not in ("train", "valid", "rollback", "given up"):
            continue
        given_up = record.part == "given up"
        step = record.step
        while records and records[-1].step > step:
            records.pop()
        if record.part == "rollback":
            rollbacks += 1
        elif not given_up:
            records.append(record)
    return Log(lines, records, step, rollbacks, given_up)


def _parsed(line: bytes) -> Record | None:
    try:
        return Record.model_validate(from_json(line))
    except (ValueError, ValidationError, RecursionError):
        return None
