"""metrics.jsonl, the log of a run: a JSON object per line. It is read without torch, and damaged lines are skipped."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt, ValidationError, model_validator
from pydantic_core import from_json

from speakerid.base.files import check_regular

METRICS = "metrics.jsonl"


class Record(BaseModel, frozen=True, extra="ignore", strict=True):
    """Known fields of a line."""

    step: Annotated[int, Field(ge=0, lt=2**63)]
    """Steps done; for a rollback, the step it returned to."""
    part: str
    """`train`, `valid`, `rollback` or `given up`; readers ignore others, which other versions write."""
    accuracy: float | None = None
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


@dataclass(frozen=True)
class Line:
    """A line of the log.

    Attributes:
        text: as in the file, without the line break.
        content: the whole object; empty if the line is damaged.
        record: its known fields; None if the line is damaged.
    """

    text: bytes
    content: dict[str, Any]
    record: Record | None


def read_lines(path: Path) -> list[Line]:
    """Read the lines of a log, including damaged ones.

    A last line without a line break, which a crash leaves, is dropped.

    Args:
        path: metrics.jsonl.

    Raises:
        OSError: the file cannot be read.
        UserError: not a regular file; the message does not contain its name.
    """
    check_regular(path)
    return [_parsed(line) for line in path.read_bytes().split(b"\n")[:-1]]


def _parsed(line: bytes) -> Line:
    try:
        content = from_json(line)
        return Line(line, content, Record.model_validate(content))
    except (ValueError, ValidationError, RecursionError):
        return Line(line, {}, None)
