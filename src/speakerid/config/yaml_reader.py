"""YAML for settings: text keys and plain values of bounded size; anything else is an error of one line."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import yaml

from speakerid.base.errors import UserError
from speakerid.base.files import check_regular

MAX_BYTES = 1 << 20
MAX_VALUES = 10_000
"""Keys and values of a document, with aliases expanded."""
MAX_DEPTH = 32

_MERGE = "tag:yaml.org,2002:merge"
_CLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # PyYAML can be built without libyaml
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class _Strict(yaml.constructor.SafeConstructor):
    """Rejects duplicate keys, of which PyYAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag == _MERGE:
                continue
            name = self.construct_object(key, deep=True) if isinstance(key, yaml.ScalarNode) else None
            if not isinstance(name, str):
                found = key.value if isinstance(key, yaml.ScalarNode) else f"a {key.id}"
                raise _refusal(f"found {found} as a key, expected a name", key.start_mark)
            if name in seen:
                raise _refusal(f"duplicate key {name!r}", key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


class _Slow(_Strict, yaml.SafeLoader): ...


class _Fast(_Strict, _CLoader): ...


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Raises:
        UserError: the file is missing, is not a regular file, is not valid YAML, or does not hold a mapping.
    """
    try:
        check_regular(path)
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read: {error.strerror}; expected a YAML file; `speakerid configs` lists those that ship"
        ) from error
    except UserError as error:
        raise UserError(f"{path}: cannot be read: {error}") from error
    if len(content) > MAX_BYTES:
        raise UserError(f"{path}: found more than {MAX_BYTES:,} bytes, expected settings")
    try:
        parsed = parse_yaml(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        encoding = "UTF-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else f"byte {content[error.start]:#04x}"
        raise UserError(f"{path}: not valid YAML: found {encoding}, expected text in UTF-8") from error
    except UserError as error:
        raise UserError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(parsed, dict):
        raise UserError(f"{path}: found {type(parsed).__name__}, expected settings like 'run_dir: runs/first'")
    return parsed


def parse_yaml(text: str) -> Any:
    """Parse a YAML text.

    Raises:
        UserError: the text is not valid YAML, or has tags, deep nesting or more than `MAX_VALUES` values. The message
            is one line that says where.
    """
    # libyaml rejects the escapes that PyYAML writes for file names that are not UTF-8.
    loader: Any = _Slow if _SURROGATE.search(text) else _Fast
    try:
        _check_size(yaml.parse(text, loader))
        return yaml.load(text, loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise UserError(where + " ".join((error.problem or str(error)).split())) from error
    except (yaml.YAMLError, ValueError, TypeError, AttributeError) as error:  # 2001-02-30 and 0x_ are ValueErrors
        raise UserError(" ".join(str(error).split())) from error


def _check_size(events: Iterator[yaml.Event]) -> None:
    """Reject texts whose value would need much time or memory to build.

    Raises:
        yaml.MarkedYAMLError: a tag, an alias within its own anchor, deep nesting, too many values.
    """
    anchored: dict[str, int] = {}
    open_: list[tuple[str | None, int]] = []
    count = 0
    for event in events:
        if getattr(event, "tag", None) is not None:
            raise _refusal(f"found the tag {event.tag!r}, expected a plain value", event.start_mark)  # type: ignore[attr-defined]
        if isinstance(event, yaml.CollectionStartEvent):
            open_.append((event.anchor, count))
            if len(open_) > MAX_DEPTH:
                raise _refusal(f"nested more than {MAX_DEPTH} deep", event.start_mark)
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_.pop()
            if anchor is not None:
                anchored[anchor] = count - before
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in anchored:
                raise _refusal(f"the alias *{event.anchor} has no complete anchor before it", event.start_mark)
            count += anchored[event.anchor]
        elif isinstance(event, yaml.ScalarEvent) and event.anchor is not None:
            anchored[event.anchor] = 1
        count += 1
        if count > MAX_VALUES:
            raise _refusal(f"more than {MAX_VALUES:,} values", event.start_mark)


def _refusal(reason: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=reason, problem_mark=mark)
