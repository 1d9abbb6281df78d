"""Base classes and types of settings, and their strict parsing, with errors that say what is expected."""

from __future__ import annotations

import difflib
import os
import typing
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from speakerid.base.errors import SHOWN, UserError, describe
from speakerid.base.printing import short

LARGEST = 10**9
"""Bound on every integer setting except the seed."""


def _reject_boolean(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("expected a number, not true or false")
    return value


Numeric = BeforeValidator(_reject_boolean)
"""Reject `true` for a number, which Pydantic would read as 1."""
Count = Annotated[int, Numeric, Field(ge=1, le=LARGEST)]
CountOrZero = Annotated[int, Numeric, Field(ge=0, le=LARGEST)]
Positive = Annotated[float, Numeric, Field(gt=0)]
Probability = Annotated[float, Numeric, Field(ge=0, lt=1)]


def _check_path(path: Path) -> Path:
    try:
        parts = [len(os.fsencode(part)) for part in path.parts]
    except UnicodeEncodeError as error:
        raise ValueError("is not a valid file name") from error
    if "\0" in str(path):
        raise ValueError("is not a valid file name: it holds a zero byte")
    if max(parts, default=0) > 255 or sum(parts) + len(parts) > 4_000:
        raise ValueError("is too long for a file name: expected at most 255 bytes between slashes, 4,000 in all")
    return path


FilePath = Annotated[Path, AfterValidator(_check_path)]
"""Path that the system accepts; it need not exist."""
_S = typing.TypeVar("_S", bound="Settings")


class Settings(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Base of all settings: frozen, and an unknown key is an error."""

    def differences(self: _S, other: _S) -> dict[str, tuple[Any, Any]]:
        """Dotted name of every setting that differs from another's, with its value here and there.

        If two sections are of different kinds, only the kinds are given.
        """
        found: dict[str, tuple[Any, Any]] = {}
        for name, mine in self:
            theirs = getattr(other, name)
            if isinstance(mine, Settings) and type(mine) is type(theirs):
                found |= {f"{name}.{below}": values for below, values in mine.differences(theirs).items()}
            elif mine != theirs:
                found[name] = getattr(mine, "kind", mine), getattr(theirs, "kind", theirs)
        return found


class Choice(Settings, frozen=True):
    """One of several kinds of a part, each with its own settings; a kind without any is written as its name."""

    @model_serializer(mode="wrap")
    def _as_written(self, serialize: SerializerFunctionWrapHandler) -> Any:
        content = serialize(self)
        return content["kind"] if content.keys() == {"kind"} else content


Named = BeforeValidator(lambda value: {"kind": value} if isinstance(value, str) else value)
"""Read `mean` as `{kind: mean}`."""


def apply_override(content: dict[str, Any], override: str) -> None:
    """Apply a `section.setting=value` override; the value is read as YAML.

    Raises:
        UserError: the override has another form, or its value is not valid YAML.
    """
    from speakerid.config.yaml_reader import parse_yaml  # a bundle's settings need no YAML

    name, equals, text = override.partition("=")
    if not equals or not all(name.split(".")):
        raise UserError(f"override {override!r}: expected section.setting=value, as in model.d_model=96")
    try:
        value = parse_yaml(text)
    except UserError as error:
        raise UserError(f"override {override!r}: the value is not valid YAML") from error
    *sections, setting = name.split(".")
    for section in sections:
        if content.get(section) is None:  # missing or empty
            content[section] = {}
        content = content[section]
        if not isinstance(content, dict):
            raise UserError(f"override {override!r}: {section!r} is a setting, not a section")
    content[setting] = value


def parse(settings: type[_S], content: object, source: object) -> _S:
    """Check `content` and return it as settings; `source` names the file in errors.

    Raises:
        UserError: settings are unknown or wrong; the message names up to 20 of them.
    """
    try:
        return settings.model_validate(content)
    except ValidationError as error:
        problems = [*zip(describe(error), error.errors(), strict=True)]
        # Close matches are slow to find, so only for the problems that are shown.
        lines = [_explain(settings, reason, problem) for (_, reason), problem in problems[:SHOWN]]
        if len(problems) > SHOWN:
            lines.append(f"… and {len(problems) - SHOWN} more")
        raise UserError(f"{source}: " + "; ".join(lines)) from error


def _explain(settings: type[Settings], reason: str, problem: Any) -> str:
    """One of Pydantic's errors, with the dotted name of the setting and a suggestion if there is one."""
    keys, section = _walk(settings, problem["loc"])
    if problem["type"] == "extra_forbidden":
        reason = _unknown(settings, section, keys[-1])
    elif problem["type"].startswith("union_tag"):
        kinds = ", ".join(_kinds(section.model_fields[keys[-1]].annotation))
        reason = f"found {_kind_in(problem['input'])}, expected one of {kinds}"
    return f"{'.'.join(keys)}: {reason}" if keys else reason


def _walk(settings: type[BaseModel], loc: tuple[int | str, ...]) -> tuple[list[str], type[BaseModel]]:
    """The keys of `loc` as in the file, without Pydantic's tags of kinds, and the section of the last key."""
    keys: list[str] = []
    home = below = settings
    kinds: dict[str, type[BaseModel]] = {}
    for part in loc:
        if part in kinds:
            below, kinds = kinds[str(part)], {}
            continue
        keys.append(str(part))
        home = below
        annotation = _not_none(home.model_fields[str(part)].annotation) if part in home.model_fields else None
        kinds = _kinds(annotation)
        if _is_section(annotation):
            below = annotation
    return keys, home


def _kind_in(content: Any) -> str:
    return f"kind {short(content['kind'])}" if isinstance(content, dict) and "kind" in content else "no kind"


def _unknown(settings: type[Settings], section: type[BaseModel], key: str) -> str:
    """Why a key of `section` is refused, with the closest known name or the sections it belongs to."""
    elsewhere = _dotted_names(settings, key)
    if elsewhere:
        return f"not a setting here; it belongs to {' or '.join(elsewhere)}"
    near = difflib.get_close_matches(key, section.model_fields, n=1)
    if near:
        return f"unknown setting; did you mean {near[0]!r}?"
    return f"unknown setting; known here: {', '.join(section.model_fields)}"


def _dotted_names(section: type[BaseModel], key: str, prefix: str = "") -> list[str]:
    """Dotted names of all settings named `key` in and below `section`, with the kinds that have it."""
    names = [prefix + key] if key in section.model_fields else []
    for name, field in section.model_fields.items():
        if _is_section(field.annotation):
            names += _dotted_names(field.annotation, key, f"{prefix}{name}.")
        kinds = [kind for kind, choice in _kinds(field.annotation).items() if key in choice.model_fields]
        if kinds:
            names.append(f"{prefix}{name}.{key} (kind: {', '.join(kinds)})")
    return names


def _kinds(annotation: Any) -> dict[str, type[BaseModel]]:
    """The alternative sections of a field, by `kind`."""
    sections = [choice for choice in typing.get_args(annotation) if _is_section(choice)]
    kinds = {choice: choice.model_fields["kind"].annotation for choice in sections if "kind" in choice.model_fields}
    return {typing.get_args(kind)[0]: choice for choice, kind in kinds.items()}


def _not_none(annotation: Any) -> Any:
    """The type T of `T | None`; any other type as it is."""
    choices = [choice for choice in typing.get_args(annotation) if choice is not type(None)]
    optional = len(choices) == 1 and type(None) in typing.get_args(annotation)
    return choices[0] if optional else annotation


def _is_section(annotation: Any) -> typing.TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
