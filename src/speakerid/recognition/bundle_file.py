"""File format of bundles: a safetensors file with JSON text in its header. It contains no code.

The digest detects accidental damage only: someone who edits a file can compute it again. So every size is checked
against the length of the file and against bounds before anything is built from it.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, JsonValue, TypeAdapter
from safetensors import SafetensorError
from safetensors.numpy import load, save

import speakerid
from speakerid.base.errors import UserError
from speakerid.base.files import check_regular
from speakerid.config import FeatureConfig
from speakerid.config.model import ModelConfig
from speakerid.config.settings import Settings, parse
from speakerid.recognition.calibration_set import CalibrationSet
from speakerid.recognition.centers import even_clips
from speakerid.recognition.decision import Rule, Thresholds
from speakerid.recognition.fitting import Expected
from speakerid.recognition.foreign_files import foreign
from speakerid.recognition.kept_prints import Correction
from speakerid.recognition.pretrained import Pretrained
from speakerid.recognition.profiles import Profiles
from speakerid.recognition.projection import Projection

FORMAT = "speakerid bundle 2"
Array = NDArray[Any]
_HEADER = "speakerid"
_LONGEST_HEADER = 100 * 2**20
"""Bytes; safetensors itself reads no longer header."""
_LARGEST_FILE = 8 * 2**30
"""Bytes; 100,000 speakers and a large model need less than a tenth."""
_LONGEST_ERROR = 600
"""Characters; an edited text can have any number of errors."""
_DTYPES = {"F32": 4, "F16": 2, "I64": 8, "I32": 4, "U8": 1}
"""Types of tensors in a bundle, and bytes per element."""


class SpeakerContent(Settings, frozen=True):
    name: str
    clips: int
    trained: bool


class RuleContent(Settings, frozen=True):
    scale: list[float]
    unknown: list[float]
    seconds: list[float]
    rates: list[float]
    log_odds: list[list[float]]

    @staticmethod
    def of(rule: Rule) -> RuleContent:
        thresholds = rule.thresholds
        return RuleContent(
            scale=rule.scale.tolist(),
            unknown=rule.unknown.tolist(),
            seconds=thresholds.seconds.tolist(),
            rates=thresholds.rates.tolist(),
            log_odds=thresholds.log_odds.tolist(),
        )

    def rule(self) -> Rule:
        thresholds = Thresholds(np.array(self.seconds), np.array(self.rates), np.array(self.log_odds))
        return Rule(np.array(self.scale), np.array(self.unknown), thresholds)


class Content(Settings, frozen=True):
    """The JSON in a bundle."""

    format: str
    digest: str
    """SHA-256 of everything else."""
    model: ModelConfig | None
    """None with a pretrained encoder."""
    features: FeatureConfig
    speakers: list[SpeakerContent]
    seconds: list[float]
    """Durations of the calibration set."""
    evidence_speakers: list[list[str]]
    """Speakers of its known utterances, by duration."""
    joined: list[bool] = Field(default_factory=list)
    """Whether these are several utterances joined, by duration; empty in earlier versions, where none are."""
    identification: RuleContent
    verification: RuleContent | None
    expected: list[Expected]
    card: dict[str, JsonValue]
    pretrained: Pretrained | None = None
    corrections: list[Correction] = Field(default_factory=list)


@dataclass(frozen=True)
class _Entry:
    """Entry for a tensor in the header of a safetensors file."""

    dtype: str
    shape: Annotated[list[Annotated[int, Field(ge=0, lt=2**40)]], Field(max_length=8)]
    data_offsets: tuple[int, int]


_ENTRIES = TypeAdapter(dict[str, _Entry])


def digest_of(content: Content, tensors: Mapping[str, Array]) -> str:
    """SHA-256 of the tensors and of the content without its digest."""
    return _digest_of_text(content.model_dump_json(), content.digest, tensors)


def _digest_of_text(text: str, stated: str, tensors: Mapping[str, Array]) -> str:
    """The same for the content as it was written, which lacks settings that later versions added."""
    digest = hashlib.sha256(text.replace(f'"digest":"{stated}"', '"digest":""', 1).encode())
    add_tensors(digest, tensors)
    return digest.hexdigest()


def add_tensors(digest: hashlib._Hash, tensors: Mapping[str, Array]) -> None:
    """Update a digest with the names, types, shapes and values of tensors."""
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} torch.{tensor.dtype.name} {tensor.shape}".encode())  # as bundles have always named types
        digest.update(tensor.tobytes())


def as_bytes(content: Content, tensors: dict[str, Array]) -> bytes:
    """Content of the file, with the digest."""
    # safetensors 0.8 writes the memory behind an array, whatever its strides are (its issue 825).
    tensors = {name: one if one.flags.c_contiguous else one.copy() for name, one in tensors.items()}
    content = content.model_copy(update={"digest": digest_of(content, tensors)})
    return save(tensors, {_HEADER: content.model_dump_json()})


def read(path: Path) -> tuple[Content, dict[str, Array]]:
    """Read the content and the tensors of a file, as they were written; see `bundle_check` for further checks.

    Raises:
        UserError: the file is missing, not a regular file, damaged, or not a bundle; the message names it.
    """
    try:
        check_regular(path)
        with path.open("rb") as file:
            metadata = _check_header(path, file)
            content = _parse(path, metadata)
            file.seek(0)
            tensors = load(file.read())
        # The digest of the text, so that settings added later do not matter, or of the content if a script wrote it.
        digests = (_digest_of_text(metadata[_HEADER], content.digest, tensors), digest_of(content, tensors))
        if content.digest not in digests:
            raise UserError(
                f"{path}: its content was changed after it was written (checksum); do not trust it, export it again"
            )
    except UserError as error:
        text = str(error).removeprefix(f"{path}: ")
        raise UserError(f"{path}: {_shortened(text)}") from error
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read: {error.strerror}; `speakerid export` makes a bundle of a checkpoint"
        ) from error
    except RecursionError as error:
        raise UserError(f"{path}: its {_HEADER!r} text is nested too deeply; export it again") from error
    except MemoryError as error:
        raise UserError(f"{path}: too little memory to read it") from error
    except (SafetensorError, ValueError) as error:  # missed by the checks of the header
        raise UserError(f"{path}: damaged, or not a safetensors file: {error}") from error
    return content, tensors


def _shortened(text: str) -> str:
    """Shorten a message; an edited text can have any number of errors, or very long ones."""
    return text if len(text) <= _LONGEST_ERROR else f"{text[:_LONGEST_ERROR]} …"


def _check_header(path: Path, file: BinaryIO) -> Mapping[str, Any]:
    """Read the metadata of a safetensors file whose tensors fill the file exactly.

    Raises:
        UserError: the file is damaged or of another type.
    """
    size = os.fstat(file.fileno()).st_size
    start = file.read(32)
    length = int.from_bytes(start[:8], "little")
    if size > _LARGEST_FILE or not 2 <= length <= min(_LONGEST_HEADER, size - 8):
        raise UserError(foreign(start))
    file.seek(8)
    try:
        header = dict(json.loads(file.read(length)))
        metadata = header.pop("__metadata__", {})
        entries = _ENTRIES.validate_python(header)
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError(foreign(start)) from error
    if not isinstance(metadata, dict) or not isinstance(metadata.get(_HEADER), str):
        raise UserError(f"found a safetensors file without a {_HEADER!r} text; expected a bundle, see `export`")
    for name, entry in entries.items():
        if entry.dtype not in _DTYPES:
            raise UserError(f"tensor {name!r}: found type {entry.dtype!r}, expected one of {', '.join(_DTYPES)}")
        found, expected = entry.data_offsets[1] - entry.data_offsets[0], math.prod(entry.shape) * _DTYPES[entry.dtype]
        if found != expected:
            raise UserError(f"tensor {name!r}: found {found} bytes, expected {expected}; export it again")
    total = sum(math.prod(entry.shape) * _DTYPES[entry.dtype] for entry in entries.values())
    if total != size - 8 - length:
        raise UserError(
            f"damaged, or not a safetensors file: found {size - 8 - length} bytes of tensors, expected {total}; "
            "copy or export it again"
        )
    return metadata


def _parse(path: Path, metadata: Mapping[str, Any]) -> Content:
    try:
        found = json.loads(metadata[_HEADER])
    except ValueError as error:
        raise UserError(f"its {_HEADER!r} text is not JSON: {error}") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        form = found.get("format") if isinstance(found, dict) else type(found).__name__
        raise UserError(
            f"found format {form!r:.60}, expected {FORMAT!r}, which version {speakerid.__version__} reads; "
            "export it again from its checkpoint"
        )
    return parse(Content, found, path)


def tensors_of(
    weights: Mapping[str, Array], profiles: Profiles, evidence: Sequence[CalibrationSet]
) -> dict[str, Array]:
    """Tensors of a bundle by their names in the file."""
    tensors = {f"weights.{name}": tensor for name, tensor in weights.items()}
    tensors["centres"] = profiles.centers
    tensors["centre_clips"] = profiles.center_clips
    rows = [(index, digest) for index, some in enumerate(profiles.recordings) for digest in sorted(some)]
    tensors["recordings"] = np.array(rows, np.int64).reshape(-1, 2)
    for index, some in enumerate(evidence):
        # Half precision changes a score by at most a thousandth of their range, and halves most of the file.
        tensors[f"evidence.{index}.known"] = some.known.astype(np.float16)
        tensors[f"evidence.{index}.strangers"] = some.strangers.astype(np.float16)
        tensors[f"evidence.{index}.stranger_speakers"] = some.stranger_speakers.astype(np.int32)
        if len(some.stranger_names):
            tensors[f"evidence.{index}.stranger_profiles"] = some.own_profiles(profiles).astype(np.int32)
        if len(some.corrections):
            tensors[f"evidence.{index}.corrections"] = some.corrections
    return tensors


def profiles_in(content: Content, weights: Mapping[str, Array], tensors: Mapping[str, Array]) -> Profiles:
    """Profiles of a bundle that was checked."""
    clips = tuple(speaker.clips for speaker in content.speakers)
    recordings: list[set[int]] = [set() for _ in clips]
    for index, digest in tensors["recordings"].tolist() if "recordings" in tensors else ():
        recordings[index].add(digest)
    return Profiles(
        tuple(speaker.name for speaker in content.speakers),
        Projection.of(weights).plda,
        tensors["centres"],
        clips,
        tuple(speaker.trained for speaker in content.speakers),
        tensors["centre_clips"] if "centre_clips" in tensors else even_clips(clips),
        tuple(map(frozenset, recordings)),
    )


def evidence_in(content: Content, tensors: Mapping[str, Array], index: int) -> CalibrationSet:
    """Calibration set of one duration of a bundle that was checked."""
    prefix, names = f"evidence.{index}.", [one.name for one in content.speakers]
    known, strangers = (tensors[f"{prefix}{name}"].astype(np.float32) for name in ("known", "strangers"))
    own_profiles = tensors.get(f"{prefix}stranger_profiles", np.zeros(0, np.int32))
    added = tensors.get(f"{prefix}corrections", np.zeros((0, 2), np.float32))
    if (own := tensors.get(f"{prefix}flattery")) is not None:  # earlier format, of the utterance's speaker alone
        added = np.tile(np.array([-own.item(), 0], np.float32), (len(known), 1))
    return CalibrationSet(
        content.seconds[index],
        known,
        np.array(content.evidence_speakers[index], str),
        strangers,
        tensors[f"{prefix}stranger_speakers"],
        np.array([names[row] if row >= 0 else "" for row in own_profiles.tolist()], str),
        added,
        bool(content.joined and content.joined[index]),
    )
