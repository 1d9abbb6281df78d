"""JSON manifests of NeMo, SpeechBrain and lhotse."""

import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TextIO

from speakerid.base.errors import CorpusError, UserError
from speakerid.base.files import check_regular
from speakerid.preparation.sources.columns import find_columns, has_required_columns
from speakerid.preparation.sources.text_table import Table, naming_errors

Kind = Literal["nemo", "speechbrain", "lhotse"]
Entry = tuple[str, Mapping[str, Any]]
"""Position for messages, and JSON object."""
ENDINGS = (".json", ".jsonl", ".json.gz", ".jsonl.gz")


def kind_of(path: Path) -> Kind | None:
    """Detect the kind of manifest by its first object; None if it is not a manifest of recordings.

    Raises:
        UserError: the file cannot be read, or does not contain JSON objects.
    """
    first = next(entries(path), None)
    if first is None:
        return None
    _, content = first
    if lhotse_kind(content):
        return "lhotse"
    with naming_errors(path):
        known = has_required_columns(find_columns(list(content)))
    return ("speechbrain" if "wav" in content else "nemo") if known else None


def lhotse_kind(content: Mapping[str, Any]) -> Literal["recordings", "supervisions", "cuts"] | None:
    """Detect which lhotse manifest an object is from; None if it is from none."""
    if "sources" in content and "sampling_rate" in content:
        return "recordings"
    if "recording_id" in content and "start" in content:
        return "supervisions"
    return "cuts" if "supervisions" in content or str(content.get("type", "")).endswith("Cut") else None


def entries(path: Path) -> Iterator[Entry]:
    """Read the objects of a file: one per line, the elements of an array, or the values of an object.

    Raises:
        UserError: the file cannot be read, or does not contain JSON objects.
        CorpusError: lists every line that is not an object; raised after all objects were read.
    """
    with _opened(path) as file:
        first = _loads(file.readline())
        if isinstance(first, dict) and not _holds_objects(first):
            file.seek(0)
            yield from _lines(path, file)
            return
        file.seek(0)
        content = _loads(file.read())
    items = content.items() if isinstance(content, dict) else enumerate(content, 1) if isinstance(content, list) else ()
    found = [(f"entry {key}", value) for key, value in items if isinstance(value, dict)]
    if not found:
        raise UserError(f"{path}: found no JSON objects; expected one per line, or a list of them")
    yield from found


def json_table(path: Path) -> Table:
    """Read a NeMo or SpeechBrain manifest as a table with one column per key.

    Raises:
        UserError: the file cannot be read.
        CorpusError: lists every line that is not an object.
    """
    header: dict[str, int] = {}
    objects: list[Entry] = []
    for where, content in entries(path):
        content = _flat(content)
        objects.append((where, content))
        for key in content:
            header.setdefault(key, len(header))
    rows = [(where, [_text(content.get(key)) for key in header]) for where, content in objects]
    return Table(path, list(header), rows, [])


def _flat(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Flatten a SpeechBrain entry whose `wav` is an object with `file`, `start` and `stop`."""
    wav = content.get("wav")
    if not isinstance(wav, dict) or not isinstance(wav.get("file"), str):
        return content
    return {**content, "wav": wav["file"], **{key: wav[key] for key in ("start", "stop", "channel") if key in wav}}


def _lines(path: Path, file: TextIO) -> Iterator[Entry]:
    problems: list[str] = []
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        content = _loads(line)
        if isinstance(content, dict):
            yield f"line {number}", content
        else:
            problems.append(f"line {number}: not a JSON object; correct it, or write the manifest again")
    if problems:
        raise CorpusError(path, problems)


def _holds_objects(content: Mapping[str, Any]) -> bool:
    return bool(content) and all(isinstance(value, dict) for value in content.values())


def _loads(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, list) and len(value) == 1:  # a list of channels with one entry
        value = value[0]
    if not isinstance(value, str):
        return json.dumps(value)
    return value.strip()


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    opener: Callable[..., Any] = gzip.open if path.name.endswith(".gz") else open
    with naming_errors(path, "write the manifest as UTF-8"):
        check_regular(path)
        with opener(path, "rt", encoding="utf-8-sig") as file:
            yield file
