"""Recognize kinds of files that commands read and write by their content."""

import json
import os
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from speakerid.base.errors import UserError
from speakerid.base.printing import visible

SPAN = 1 << 16
"""Number of bytes to read from the beginning or end of a file."""
MAX_MEMBER = 1 << 26
"""Maximum size in bytes of an archive member to read."""
_PNG = b"\x89PNG\r\n\x1a\n"
RECORDING_HEADS = (
    b"fLaC", b"OggS", b"ID3", b"caff", b".snd", b"NIST_1A", b"\x1aE\xdf\xa3", b"ajkg", b"\xff\xfb", b"\xff\xf3",
)  # fmt: skip
"""First bytes of recordings."""


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        name: name with its article, for messages.
        recognizes: whether a file is of this kind.
    """

    name: str
    recognizes: Callable[[Path], bool]


def content_of(path: Path) -> str:
    """Describe the content of a file for messages, with an article.

    Raises:
        OSError: the file cannot be read.
    """
    for kind in KINDS:
        if kind.recognizes(path):
            return kind.name
    line = _head(path).partition(b"\n")[0][:200]
    try:
        return f"a text that begins with {visible(line.decode())[:40]!r}"
    except UnicodeDecodeError:
        return "a file of an unknown kind"


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(SPAN)


def _tail(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - SPAN))
        return file.read()


def _archive_member(path: Path, ending: str) -> bytes | None:
    """Content of the first member with this ending in a zip archive, as torch writes them; None if there is none."""
    if _head(path)[:4] != b"PK\x03\x04":
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            name = next((name for name in archive.namelist() if name.endswith(ending)), None)
            small = name is not None and archive.getinfo(name).file_size <= MAX_MEMBER
            return archive.read(name) if name is not None and small else None
    except (zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError):  # damaged, or encrypted
        return None


def _is_torchscript(path: Path) -> bool:
    try:
        found = json.loads(_archive_member(path, "/extra/metadata.json") or b"{}")
    except ValueError:
        return False
    return isinstance(found, dict) and {"speakers", "thresholds"} <= found.keys()


def _is_checkpoint(path: Path) -> bool:
    return b"speakerid checkpoint" in (_archive_member(path, "/data.pkl") or b"")


def _is_average(path: Path) -> bool:
    """Whether a file is a checkpoint without optimizers, as only `average` writes it."""
    if not _is_checkpoint(path):
        return False
    from speakerid.training.checkpoint import Checkpoint

    try:
        return not Checkpoint.load(path).optimizers
    except UserError:
        return False


def _is_onnx(path: Path) -> bool:
    return _head(path)[:1] == b"\x08" and all(key in _tail(path) for key in (b"sample_rate", b"thresholds"))


def _is_rttm(path: Path) -> bool:
    lines = [line for line in _head(path).split(b"\n") if not line.startswith(b";;")]
    return bool(lines) and lines[0].startswith(b"SPEAKER ") and len(lines[0].split()) in (9, 10)


def _is_subtitles(path: Path) -> bool:
    head = _head(path)
    return any(b"-->" in line for line in head.replace(b"\0", b"").split(b"\n")[:200])


def _is_json(path: Path) -> bool:
    return re.match(rb"\s*[{\[]", _head(path)) is not None and b'"' in _head(path)


def _is_figure(path: Path) -> bool:
    """Whether a file is a picture by Matplotlib, which writes its name into every format."""
    head = _head(path)
    return head.startswith((_PNG, b"%PDF", b"<?xml")) and (b"atplotlib" in head or b"atplotlib" in _tail(path))


def _is_page(path: Path, corpus: bool) -> bool:
    head = _head(path)
    return head.startswith(b"<!doctype html>") and b"--limit:" in head and (b"<title>Corpus report" in head) == corpus


def _is_recording(path: Path) -> bool:
    head = _head(path)[:12]
    boxed = head[:4] in (b"RIFF", b"RF64", b"FORM") or head[4:8] == b"ftyp"
    return boxed or head.startswith(RECORDING_HEADS)


def _is_run_settings(path: Path) -> bool:
    """Whether a file is YAML exactly as dumped; comments or other formatting mean that it was written by hand."""
    import yaml

    if path.stat().st_size > SPAN:
        return False
    try:
        text = path.read_text(encoding="utf-8")
        return yaml.safe_dump(yaml.safe_load(text), sort_keys=False) == text
    except (ValueError, yaml.YAMLError, RecursionError):
        return False


BUNDLE = Kind("a bundle", lambda path: _head(path)[8:9] == b"{" and b'"speakerid"' in _head(path))
TORCHSCRIPT = Kind("a model exported with --to torchscript", _is_torchscript)
ONNX = Kind("a model exported with --to onnx", _is_onnx)
CHECKPOINT = Kind("a checkpoint", _is_checkpoint)
AVERAGE = Kind("an average of checkpoints", _is_average)
SUBMISSION = Kind(
    "a submission (Id,Category)", lambda path: re.match(rb"(\xef\xbb\xbf)?Id,Category[\r\n]", _head(path)) is not None
)
RTTM = Kind("an RTTM file", _is_rttm)
TRANSCRIPT = Kind(
    "a transcript",
    lambda path: _is_rttm(path) or _is_subtitles(path) or (_is_json(path) and b'"segments"' in _head(path)),
)
FIGURE = Kind("a figure drawn by this package", _is_figure)
PNG = Kind("a PNG picture", lambda path: _head(path).startswith(_PNG))
PAGE_PICTURE = Kind(
    "a picture of a page of `evaluate`", lambda path: PNG.recognizes(path) and b"Software\0speakerid" in _head(path)
)
CORPUS_REPORT = Kind("a corpus report", lambda path: _is_page(path, corpus=True))
EVALUATION_PAGE = Kind("a page of `evaluate`", lambda path: _is_page(path, corpus=False))
SETTINGS = Kind("settings that a run wrote", _is_run_settings)
KINDS = (
    BUNDLE, TORCHSCRIPT, ONNX, CHECKPOINT, SUBMISSION, RTTM, FIGURE, PNG, CORPUS_REPORT, EVALUATION_PAGE,
    Kind("a recording", _is_recording),
    Kind("JSON", _is_json),
)  # fmt: skip
