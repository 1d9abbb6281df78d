"""Reference of all settings, generated from the settings classes."""

from __future__ import annotations

import ast
import inspect
import textwrap
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from annotated_types import Ge, Gt, Le, Lt, MultipleOf
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from speakerid.config import Config, FeatureConfig
from speakerid.config.settings import LARGEST

INTRODUCTION = """# Settings

Every setting of an experiment file. Each can be overridden on the command line, as in `speakerid train few_minutes
model.d_model=96`; unknown and wrong settings are refused with a suggestion. `speakerid configs` lists the files that
ship. A part that comes in several kinds has different settings for each kind. Integers are at most 10⁹.
Experimental settings work and are tested, but no trained result supports them.
"""
BOUNDS: dict[type, tuple[str, str]] = {
    Ge: ("ge", "≥"),
    Gt: ("gt", ">"),
    Le: ("le", "≤"),
    Lt: ("lt", "<"),
    MultipleOf: ("multiple_of", "multiple of"),
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page to the site (hook of MkDocs)."""
    files.append(File.generated(config, "settings.md", content=settings_page()))
    return files


def settings_page() -> str:
    """Markdown page of all settings of an experiment and of the features."""
    features = (
        "Stored in a corpus as `features.yaml`, and set with `speakerid prepare … --features n_mels=80`; a checkpoint "
        "refuses features other than its own."
    )
    return "\n".join(
        [
            INTRODUCTION,
            *_section(Config, "", "Experiment", 2),
            *_section(FeatureConfig, "", "Features", 2, features),
        ]
    )


def dotted_names(settings: type[BaseModel] = Config, prefix: str = "") -> Iterator[str]:
    """Dotted name of every setting, the settings of all kinds included."""
    for name, field in settings.model_fields.items():
        yield prefix + name
        for section in _sections(field.annotation):
            yield from dotted_names(section, f"{prefix}{name}.")


def _section(settings: type[BaseModel], prefix: str, title: str, level: int, text: str = "") -> Iterator[str]:
    """Heading and table of a section, then those of the sections in it."""
    meanings = _meanings(settings)
    yield f"\n{'#' * level} {title}\n\n{text or _own_docstring(settings) or 'No settings of its own.'}\n"
    below: list[tuple[str, type[BaseModel]]] = []
    rows = []
    for name, field in settings.model_fields.items():
        sections = _sections(field.annotation)
        below += [(name, section) for section in sections]
        if name != "kind":
            meaning = meanings.get(name) or " ".join(_own_docstring(sections[0]).split("\n\n")[:1] if sections else [])
            rows.append(f"| `{prefix}{name}` | {_values(field)} | {_default(field)} | {meaning} |")
    if rows:
        yield "\n".join(["| setting | values | default | meaning |", "|---|---|---|---|", *rows])
    for name, section in below:
        kind = _kind(section)
        heading = f"`{prefix}{name}`" + (f" of kind `{kind}`" if kind else "")
        yield from _section(section, f"{prefix}{name}.", heading, min(level + 1, 4))


def _sections(annotation: Any) -> list[type[BaseModel]]:
    """Settings classes of a field: none, one, or one per kind."""
    options = [annotation, *typing.get_args(annotation)]
    return [option for option in options if isinstance(option, type) and issubclass(option, BaseModel)]


def _kind(section: type[BaseModel]) -> str | None:
    field = section.model_fields.get("kind")
    return typing.get_args(field.annotation)[0] if field else None


def _values(field: FieldInfo) -> str:
    """Type, bounds or choices of a field."""
    sections = _sections(field.annotation)
    if sections:
        kinds = [f"`{kind}`" for kind in map(_kind, sections) if kind]
        return ", ".join(kinds) or "section"
    members = typing.get_args(field.annotation)
    if typing.get_origin(field.annotation) is typing.Literal:
        return ", ".join(f"`{member}`" for member in members)
    bounds = [BOUNDS[type(found)] for found in _metadata(field) if type(found) in BOUNDS]
    limits = [
        f"{sign} {_number(getattr(found, attribute))}"
        for found in _metadata(field)
        for attribute, sign in bounds
        if hasattr(found, attribute) and getattr(found, attribute) != LARGEST
    ]
    names = [_type_name(member) for member in members or (field.annotation,) if member is not type(None)]
    null = ", or `null`" if type(None) in members else ""
    return ", ".join(names) + (f" {', '.join(dict.fromkeys(limits))}" if limits else "") + null


def _metadata(field: FieldInfo) -> list[Any]:
    """Constraints of a field, also those inside `X | None`."""
    inner = [typing.get_args(member)[1:] for member in typing.get_args(field.annotation)]
    found = [*field.metadata, *(item for items in inner for item in items)]
    nested = [item.metadata if isinstance(item, FieldInfo) else [item] for item in found]
    return [item for items in nested for item in items]


def _type_name(annotation: Any) -> str:
    if typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    if typing.get_origin(annotation) is typing.Literal:
        return ", ".join(f"`{member}`" for member in typing.get_args(annotation))
    return {int: "integer", float: "number", bool: "`true`, `false`", str: "text", Path: "path"}[annotation]


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) and value < 2**63 else "2⁶⁴" if value == 2**64 else f"{value:g}"


def _default(field: FieldInfo) -> str:
    default = field.default
    if default is PydanticUndefined:
        return "required"
    if isinstance(default, BaseModel):
        kind = _kind(type(default))
        return f"`{kind}`" if kind else "as below"
    return "`null`" if default is None else f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _own_docstring(settings: type[BaseModel]) -> str:
    return inspect.cleandoc(settings.__dict__.get("__doc__") or "")


def _meanings(settings: type[BaseModel]) -> dict[str, str]:
    """Docstring below each field, from the sources of the class and its bases."""
    found: dict[str, str] = {}
    for base in reversed(settings.__mro__):
        if not issubclass(base, BaseModel) or base is BaseModel:
            continue
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(tree, ast.ClassDef)
        for field, below in zip(tree.body, tree.body[1:], strict=False):
            match field, below:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    found[name] = " ".join(text.split())
    return found
