"""Schema of the plain data in a checkpoint.

Shapes: N utterances.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import torch
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, NonNegativeInt, ValidationError, model_validator
from torch import Tensor

from speakerid.base.errors import UserError, describe
from speakerid.config.settings import CountOrZero
from speakerid.training.utterance_record import UtteranceRecord

SHOWN = 3
"""Problems listed in an error message."""


def _tensor(value: object) -> Tensor:
    """Check for a tensor that can be copied and computed with."""
    if not isinstance(value, Tensor):
        raise ValueError(f"found {type(value).__name__}, expected a tensor")
    if value.layout is not torch.strided or value.device.type != "cpu" or value.is_quantized or value.is_complex():
        raise ValueError(f"found {value.dtype}, {value.layout}, on {value.device.type}; expected a plain tensor")
    if not bool(torch.isfinite(value).all()):
        raise ValueError("holds NaN or infinite values")
    return value.detach()


def _keys(value: object) -> Tensor:
    if not isinstance(value, Tensor) or value.dtype is not torch.int64 or value.dim() != 1:
        raise ValueError("expected a vector of int64")
    return _tensor(value)


_Tensor = Annotated[Any, BeforeValidator(_tensor)]
_Keys = Annotated[Any, BeforeValidator(_keys)]
_Steps = Annotated[int, Field(ge=0, lt=2**63)]
_Share = Annotated[float, Field(ge=0, le=1)]


class _Utterances(BaseModel, strict=True):
    train: _Keys
    valid: _Keys
    earlier: _Keys
    digest: str


class _Content(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    speakers: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]
    extra_classes: CountOrZero
    step: _Steps
    validated: _Steps
    accuracy: _Share | None
    best_accuracy: _Share | None
    best_loss: float | None
    rollbacks: NonNegativeInt
    precision: str | None
    model: dict[str, _Tensor]
    average: dict[str, _Tensor] | None
    optimizers: list[dict[str, Any]]
    progress: dict[str, float]
    code_version: str
    utterances: _Utterances | None

    @model_validator(mode="after")
    def _check_consistency(self) -> "_Content":
        if self.validated > self.step:
            raise ValueError(f"validated after step {self.validated}, but only {self.step} steps are done")
        if len(set(self.speakers)) < len(self.speakers):
            raise ValueError("duplicate speaker")
        return self


def parse_content(content: Mapping[Any, object], source: str) -> dict[str, Any]:
    """Check the fields of a checkpoint, except its settings.

    Args:
        content: content of the file.
        source: name of the file for the error.

    Raises:
        UserError: some fields are wrong; the message names the first few.
    """
    try:
        known = _Content.model_validate({name: content.get(name) for name in _Content.model_fields})
    except ValidationError as error:
        problems = [f"{field}: {reason}" if field else reason for field, reason in describe(error)]
        more = [f"… and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        raise UserError(f"{source}: not a valid checkpoint: {'; '.join([*problems[:SHOWN], *more])}") from error
    values = {name: getattr(known, name) for name in _Content.model_fields}
    record = known.utterances and UtteranceRecord(**dict(known.utterances))
    return values | {"speakers": tuple(known.speakers), "utterances": record}


def difference(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str | None:
    """First difference between the weights of a model and those to load; None if they fit.

    Args:
        expected: state of the model; may be on the meta device.
        found: weights to load.
    """
    for name, tensor in expected.items():
        if name not in found:
            return f"{name} is missing"
        other = found[name]
        if other.shape != tensor.shape:
            return f"{name}: found {tuple(other.shape)}, expected {tuple(tensor.shape)}"
        if other.is_floating_point() != tensor.is_floating_point():
            return f"{name}: found {other.dtype}, expected {tensor.dtype}"
        if name.endswith("running_var") and bool((other < 0).any()):
            return f"{name}: found a negative variance"
    unknown = next((name for name in found if name not in expected), None)
    return None if unknown is None else f"{unknown} is unexpected"
