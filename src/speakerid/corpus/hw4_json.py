"""JSON files of the HW4 layout: schemas, and one line per problem of a file."""

import codecs
import json
import reprlib
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from speakerid.base.errors import UserError, describe
from speakerid.base.files import check_regular

METADATA, TESTDATA, MAPPING, STRANGERS = "metadata.json", "testdata.json", "mapping.json", "strangers.json"
MAX_SIMILAR = 3
"""Number of problems to show of those that differ only in position."""

_Name = Annotated[str, Field(min_length=1)]
_Bands = Annotated[int, Field(strict=True, ge=1, le=2**16)]


class Entry(BaseModel):
    """One utterance."""

    feature_path: _Name
    mel_len: Annotated[int, Field(strict=True, lt=2**31)]
    session: str | None = None
    copy_of: str | None = None


class Metadata(BaseModel):
    """Content of metadata.json and strangers.json."""

    n_mels: _Bands
    speakers: dict[_Name, list[Entry]]


class Testdata(BaseModel):
    """Content of testdata.json."""

    n_mels: _Bands
    utterances: list[Entry]


class Mapping(BaseModel):
    """Content of mapping.json."""

    speaker2id: dict[_Name, Annotated[int, Field(strict=True, ge=0)]]
    id2speaker: dict[str, str]


_Json = TypeVar("_Json", bound=BaseModel)


def read_json(path: Path, schema: type[_Json], required: bool, problems: list[str]) -> _Json | None:
    """Read and validate a JSON file; None if it is missing or invalid.

    Args:
        path: JSON file.
        schema: expected content.
        required: whether a missing file is a problem.
        problems: a line is added for each problem.
    """
    try:
        check_regular(path)
        content = path.read_bytes()
    except FileNotFoundError:
        if required:
            problems.append(f"{path.name}: missing; expected next to the feature files")
        return None
    except (OSError, UserError) as error:
        problems.append(f"{path.name}: cannot be read: {getattr(error, 'strerror', None) or error}")
        return None
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        problems.append(f"{path.name}: Invalid JSON: found UTF-16 or UTF-32, expected UTF-8; save it as UTF-8")
        return None
    content = content.removeprefix(codecs.BOM_UTF8)
    try:
        model = schema.model_validate_json(content)
    except ValidationError as error:
        problems += _explain(path.name, schema, content, error)
        return None
    problems += [
        f"{path.name}: {reprlib.repr(key)}: found {count} times in one object, only the last would count; "
        "merge or rename them"
        for key, count in _repeated_keys(content).items()
    ]
    return model


def _explain(name: str, schema: type[BaseModel], content: bytes, error: ValidationError) -> list[str]:
    if schema is Mapping and _is_swapped(content):
        return [f"{name}: speaker2id and id2speaker are swapped; exchange their names"]
    lines: list[str] = []
    similar = Counter[tuple[str, str]]()
    for problem, (field, reason) in zip(error.errors(), describe(error), strict=True):
        kind = (problem["type"], field.rpartition(".")[2] if len(problem["loc"]) > 2 else field.partition(".")[0])
        similar[kind] += 1
        if similar[kind] <= MAX_SIMILAR:
            lines.append(f"{name}: {field + ': ' if field else ''}{reason}")
    more = sum(count - MAX_SIMILAR for count in similar.values() if count > MAX_SIMILAR)
    return [*lines, f"{name}: {more} more entries are wrong in the same way"] if more else lines


def _is_swapped(content: bytes) -> bool:
    with suppress(ValueError, RecursionError, TypeError, KeyError):
        found: dict[str, Any] = json.loads(content)
        Mapping.model_validate({"speaker2id": found["id2speaker"], "id2speaker": found["speaker2id"]})
        return True
    return False


def _repeated_keys(content: bytes) -> Counter[str]:
    """Count keys that occur more than once in an object; JSON readers keep only the last."""
    repeated = Counter[str]()

    def count_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = dict(pairs)
        if len(keys) < len(pairs):
            counts = Counter(key for key, _ in pairs)
            repeated.update({key: count for key, count in counts.items() if count > 1})
        return keys

    with suppress(ValueError, RecursionError):
        json.loads(content, object_pairs_hook=count_repeated)
    return repeated
