"""How settings are read from YAML and refused: strict about names, and every error says what is meant."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Hashable
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, Field, SerializerFunctionWrapHandler, ValidationError, model_serializer

from speakerid.errors import UserError, describe

Probability = Annotated[float, Field(ge=0, lt=1)]
_S = typing.TypeVar("_S", bound="Settings")


class Settings(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Frozen, and strict about names: an unknown key is an error."""

    def differences(self: _S, other: _S) -> dict[str, tuple[Any, Any]]:
        """Every setting that differs from another's, by its dotted name: its value here and there.

        Of sections of two kinds the kinds are named, and not what follows from them.
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
    """One of several kinds of a part, each with settings of its own; a kind without any is written as its name."""

    @model_serializer(mode="wrap")
    def _as_written(self, serialise: SerializerFunctionWrapHandler) -> Any:
        content = serialise(self)
        return content["kind"] if content.keys() == {"kind"} else content


Named = BeforeValidator(lambda value: {"kind": value} if isinstance(value, str) else value)
"""Reads `mean` as `{kind: mean}`."""


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


def lay_over(content: dict[str, Any], override: str) -> None:
    """Set one `section.setting=value`; the value is read as YAML.

    Raises:
        UserError: the override has another form, or its value is no YAML.
    """
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


def parse(settings: type[_S], content: object, source: object) -> _S:
    """`content` as checked settings; `source` names the file in the error.

    Raises:
        UserError: naming every unknown or wrong setting at once.
    """
    try:
        return settings.model_validate(content)
    except ValidationError as error:
        lines = []
        for (_, reason), problem in zip(describe(error), error.errors(), strict=True):
            keys, section = _walk(settings, problem["loc"])
            if problem["type"] == "extra_forbidden":
                reason = _unknown(settings, section, keys[-1])
            elif problem["type"].startswith("union_tag"):
                kinds = ", ".join(_kinds(section.model_fields[keys[-1]].annotation))
                reason = f"found {_kind_in(problem['input'])}, expected one of {kinds}"
            lines.append(f"{'.'.join(keys)}: {reason}" if keys else reason)
        raise UserError(f"{source}: " + "; ".join(lines)) from error


def _walk(settings: type[BaseModel], loc: tuple[int | str, ...]) -> tuple[list[str], type[BaseModel]]:
    """The keys of `loc` as they stand in the file, without pydantic's tags of kinds; and the last one's section."""
    keys: list[str] = []
    home = below = settings
    kinds: dict[str, type[BaseModel]] = {}
    for part in loc:
        if part in kinds:
            below, kinds = kinds[str(part)], {}
            continue
        keys.append(str(part))
        home = below
        annotation = home.model_fields[str(part)].annotation if part in home.model_fields else None
        kinds = _kinds(annotation)
        if _is_section(annotation):
            below = annotation
    return keys, home


def _kind_in(content: Any) -> str:
    return f"kind {content['kind']!r}" if isinstance(content, dict) and "kind" in content else "no kind"


def _unknown(settings: type[Settings], section: type[BaseModel], key: str) -> str:
    """Why a key of `section` is refused, with the nearest known name or where it would belong."""
    elsewhere = _places(settings, key)
    if elsewhere:
        return f"no setting here; it belongs to {' or '.join(elsewhere)}"
    near = difflib.get_close_matches(key, section.model_fields, n=1)
    if near:
        return f"unknown setting; did you mean {near[0]!r}?"
    return f"unknown setting; known here: {', '.join(section.model_fields)}"


def _places(section: type[BaseModel], key: str, prefix: str = "") -> list[str]:
    """Dotted names of all settings called `key` in and below `section`, with the kinds that have it."""
    places = [prefix + key] if key in section.model_fields else []
    for name, field in section.model_fields.items():
        if _is_section(field.annotation):
            places += _places(field.annotation, key, f"{prefix}{name}.")
        having = [kind for kind, choice in _kinds(field.annotation).items() if key in choice.model_fields]
        if having:
            places.append(f"{prefix}{name}.{key} (kind: {', '.join(having)})")
    return places


def _kinds(annotation: Any) -> dict[str, type[BaseModel]]:
    """The sections that a field may hold one of, by their `kind`."""
    sections = [choice for choice in typing.get_args(annotation) if _is_section(choice)]
    kinds = {choice: choice.model_fields["kind"].annotation for choice in sections if "kind" in choice.model_fields}
    return {typing.get_args(kind)[0]: choice for choice, kind in kinds.items()}


def _is_section(annotation: Any) -> typing.TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
