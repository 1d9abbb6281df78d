"""metrics.jsonl, the log of a run: a JSON object a line. Read without torch, and damaged lines are passed over."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt, ValidationError, model_validator
from pydantic_core import from_json

from speakerid.files import check_regular

METRICS = "metrics.jsonl"


class Record(BaseModel, frozen=True, extra="ignore", strict=True):
    """What every reader of a line relies on."""

    step: Annotated[int, Field(ge=0, lt=2**63)]
    """Steps done; of a rollback, the step it went back to."""
    part: str
    """`train`, `valid`, `classifier`, `rollback` or `given up`; others, of another version, are passed over."""
    accuracy: float | None = None
    loss: float | None = None
    steps_per_second: float | None = None
    utterances: PositiveInt | None = None
    """Number of utterances of a validation."""
    rollbacks: NonNegativeInt | None = None
    """Number of rollbacks so far."""

    @model_validator(mode="after")
    def _figures_are_there(self) -> "Record":
        if (self.part == "valid" and self.accuracy is None) or (self.part == "train" and self.loss is None):
            raise ValueError("the figure of this line is missing")
        return self

    @property
    def rank(self) -> tuple[float, float] | None:
        """Key by which the best validation is the greatest; None for what is not a validation or not finite."""
        if self.part != "valid" or self.accuracy is None or not math.isfinite(self.accuracy):
            return None
        return rank(self.accuracy, self.loss)


def rank(accuracy: float, loss: float | None) -> tuple[float, float]:
    """Key of a validation: the greater accuracy is better, and the lower loss among equal accuracies."""
    return accuracy, -math.inf if loss is None or math.isnan(loss) else -loss


@dataclass(frozen=True)
class Line:
    """One line of the log.

    Attributes:
        text: as it stands in the file, without its line break.
        content: the object; empty if the line is damaged.
        record: its known fields; None if the line is damaged.
    """

    text: bytes
    content: dict[str, Any]
    record: Record | None


def read_lines(path: Path) -> list[Line]:
    """The lines of a log, damaged ones included; a last one without a line break was torn by a crash and is left out.

    Args:
        path: metrics.jsonl.

    Raises:
        OSError: the file cannot be read.
        UserError: it is not a regular file; the message does not name it.
    """
    check_regular(path)
    return [_parsed(line) for line in path.read_bytes().split(b"\n")[:-1]]


def _parsed(line: bytes) -> Line:
    try:
        content = from_json(line)
        return Line(line, content, Record.model_validate(content))
    except (ValueError, ValidationError, RecursionError):
        return Line(line, {}, None)
