"""Check the content of a bundle: sizes that fit one another, and values within bounds."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import pairwise
from typing import Any

import numpy as np

from speakerid.audio.resample import check_rate
from speakerid.base.errors import UserError
from speakerid.base.extras import installed
from speakerid.config import FeatureConfig
from speakerid.config.model import ModelConfig
from speakerid.config.settings import Settings
from speakerid.recognition.bundle_file import Array, Content, RuleContent
from speakerid.recognition.centers import CENTERS
from speakerid.recognition.kept_check import check_kept
from speakerid.recognition.kept_prints import KEPT, shapes

_LARGEST_WIDTH = 2**17
"""Upper bound of every width, kernel size and number of heads in the settings of a model."""
_MOST_REPEATS = 1000
"""Upper bound of what costs time or memory without a tensor in the file: layers, and centers per class."""
_LONGEST_NAME = 4096
"""Characters of a speaker's name; names in a corpus may be longer than those that `enroll` takes."""
_LARGEST_VALUE = 1e9
"""Largest absolute value in a tensor."""
_SMALLEST_VARIANCE = 1e-31
"""Smallest variance of a voice print; squared distances divided by a smaller one overflow."""
_LARGEST_NUMBER = 1e15
"""Largest absolute value in a rule; the scores of an untrained model are close together, so their scale is large."""
_FLOAT = np.dtype(np.float32)

Expectation = tuple[tuple[int, ...], np.dtype[Any]]


def check(content: Content, tensors: Mapping[str, Array]) -> None:
    """Refuse content that `export` cannot have written.

    Raises:
        UserError: names the field, what was found and what was expected, but not the file.
    """
    if content.model is not None:
        _check_model(content.model)
    if (content.model is None) == (content.pretrained is None):
        raise UserError("model: found both or neither of a model and a pretrained encoder, expected one")
    _check_features(content.features)
    _check_speakers(content)
    _check_rules(content)
    _check_tensors(_expected_tensors(content, tensors), tensors)
    _check_clips(content, tensors)
    _check_stranger_profiles(content, tensors)
    if content.pretrained and sha256(tensors["onnx"].tobytes()).hexdigest() != content.pretrained.sha256:
        raise UserError("tensor 'onnx': is not the encoder of the checksum; export it again")
    check_kept(content, kept_arrays(tensors))
    for name in ("within", "between"):
        if not (tensors[f"weights.{name}"] >= _SMALLEST_VARIANCE).all():
            raise UserError(f"weights.{name}: found a variance that is not positive, or almost zero")
    if len(content.expected) > len(content.seconds):
        raise UserError(f"expected: found {len(content.expected)} rows for {len(content.seconds)} durations")


def kept_arrays(tensors: Mapping[str, Array]) -> dict[str, Array]:
    """Arrays of the kept prints among the tensors."""
    return {name: tensors[name] for name in KEPT if name in tensors}


def _check_model(model: ModelConfig) -> None:
    for name, value in _numbers(model, "model"):
        most = _MOST_REPEATS if name.endswith(("num_layers", "sub_centers")) else _LARGEST_WIDTH
        _within(name, value, 0, most)


def _numbers(settings: Settings, prefix: str) -> Iterator[tuple[str, float]]:
    for name, value in settings:
        if isinstance(value, Settings):
            yield from _numbers(value, f"{prefix}.{name}")
        elif isinstance(value, int | float):
            yield f"{prefix}.{name}", value


def _check_features(features: FeatureConfig) -> None:
    _within("features.sample_rate", features.sample_rate, 1, 10**9)
    check_rate(features.sample_rate)
    _within("features.window_length", features.window_length, 2, 2**16)
    _within("features.hop_length", features.hop_length, features.sample_rate / 2000, features.sample_rate)
    _within("features.n_mels", features.n_mels, 1, features.window_length)
    _within("features.f_min", features.f_min, 0, features.sample_rate / 2 - 1)
    _within("features.floor", features.floor, 1e-30, 1e6)
    _within("features.level", features.level, -120, 0)


def _check_speakers(content: Content) -> None:
    names = [speaker.name for speaker in content.speakers]
    if not names:
        raise UserError("speakers: found none, expected at least one")
    if len(set(names)) < len(names):
        raise UserError("speakers: found a name twice, expected distinct names")
    for index, speaker in enumerate(content.speakers):
        _within(f"speakers.{index}.name: its length", len(speaker.name), 0, _LONGEST_NAME)
        _within(f"speakers.{speaker.name!r:.60}.clips", speaker.clips, 1, 10**9)
    if unknown := {name for some in content.evidence_speakers for name in some} - set(names):
        raise UserError(f"evidence_speakers: found {min(unknown)!r:.60}, which is not among the speakers")


def _check_stranger_profiles(content: Content, tensors: Mapping[str, Array]) -> None:
    for index in range(len(content.seconds)):
        name = f"evidence.{index}.stranger_profiles"
        found = tensors.get(name, np.array([-1]))
        if not ((found >= -1) & (found < len(content.speakers))).all():
            raise UserError(f"tensor {name!r}: found an index of a speaker outside -1 to {len(content.speakers) - 1}")


def _check_clips(content: Content, tensors: Mapping[str, Array]) -> None:
    if "centre_clips" not in tensors:
        return
    clips = np.array([speaker.clips for speaker in content.speakers])
    if (tensors["centre_clips"] < 0).any() or (tensors["centre_clips"].sum(1) != clips).any():
        raise UserError("tensor 'center_clips': its sums are not the clips of the speakers")
    owners = tensors["recordings"][:, 0]
    if not ((owners >= 0) & (owners < len(clips))).all():
        raise UserError(f"tensor 'recordings': found an index of a speaker outside 0 to {len(clips) - 1}")


def _check_rules(content: Content) -> None:
    seconds = content.seconds
    _check_ascending("seconds", seconds, 1e6)
    if len(content.evidence_speakers) != len(seconds) or not all(content.evidence_speakers):
        raise UserError(f"evidence_speakers: expected names for each of {len(seconds)} durations")
    if content.joined and len(content.joined) != len(seconds):
        raise UserError(f"joined: found {len(content.joined)}, expected one for each of {len(seconds)} durations")
    for name, rule in (("identification", content.identification), ("verification", content.verification)):
        if rule is not None:
            _check_rule(name, rule)


def _check_rule(name: str, rule: RuleContent) -> None:
    _check_ascending(f"{name}.seconds", rule.seconds, 1e6)
    _check_ascending(f"{name}.rates", rule.rates, 1)
    durations, rates = len(rule.seconds), len(rule.rates)
    rows = {"scale": [rule.scale], "unknown": [rule.unknown], "log_odds": rule.log_odds}
    if min(rule.scale, default=0) < 0:
        raise UserError(
            f"{name}.scale: found {min(rule.scale):g}, expected at least 0: a better score is more probable"
        )
    expected = {"scale": (1, durations), "unknown": (1, durations), "log_odds": (durations, rates)}
    for field, values in rows.items():
        height, width = expected[field]
        if len(values) != height or any(len(row) != width for row in values):
            raise UserError(f"{name}.{field}: found other lengths than {durations} durations and {rates} rates")
        for value in (value for row in values for value in row):
            _within(f"{name}.{field}", value, -_LARGEST_NUMBER, _LARGEST_NUMBER)


def _check_ascending(name: str, values: Sequence[float], most: float) -> None:
    if not values or values[0] <= 0 or values[-1] > most or any(a >= b for a, b in pairwise(values)):
        raise UserError(f"{name}: expected ascending numbers above 0, up to {most:g}")


def _expected_tensors(content: Content, tensors: Mapping[str, Array]) -> dict[str, Expectation]:
    """Shapes and types of all tensors of a bundle; sizes that the JSON does not state are taken from the tensors."""
    expected = {f"weights.{name}": found for name, found in _expected_weights(content, tensors).items()}
    speakers, (width,) = len(content.speakers), expected["weights.between"][0]
    expected["centres"] = (speakers, CENTERS, width), _FLOAT
    if "centre_clips" in tensors:  # bundles of earlier versions lack both
        expected["centre_clips"] = (speakers, CENTERS), np.dtype(np.int64)
        expected["recordings"] = (
            (*tensors["recordings"].shape[:1], 2) if "recordings" in tensors else (0, 2),
            np.dtype(np.int64),
        )
    if "onnx" in tensors or content.pretrained:
        expected["onnx"] = (tensors["onnx"].size if "onnx" in tensors else 0,), np.dtype(np.uint8)
    for name, shape in shapes(kept_arrays(tensors), width).items():
        expected[name] = shape, _FLOAT if name in ("prints", "base_centers") else np.dtype(np.int64)
    for index, names in enumerate(content.evidence_speakers):
        prefix = f"evidence.{index}."
        strangers = tensors[f"{prefix}strangers"].shape[:1] if f"{prefix}strangers" in tensors else (0,)
        expected[f"{prefix}known"] = (len(names), width), np.dtype(np.float16)
        expected[f"{prefix}strangers"] = (*strangers, width), np.dtype(np.float16)
        expected[f"{prefix}stranger_speakers"] = (*strangers,), np.dtype(np.int32)
        if f"{prefix}stranger_profiles" in tensors:  # only with folds
            expected[f"{prefix}stranger_profiles"] = (*strangers,), np.dtype(np.int32)
        for name, shape in {"corrections": (len(names), 2), "flattery": ()}.items():
            if f"{prefix}{name}" in tensors:  # only with folds; flattery is of an earlier version
                expected[f"{prefix}{name}"] = shape, _FLOAT
    return expected


def _expected_weights(content: Content, tensors: Mapping[str, Array]) -> dict[str, Expectation]:
    """Shapes and types of the weights; without PyTorch, which alone uses them, those of the model may be any."""
    between = tensors.get("weights.between")  # in earlier versions as wide as the embeddings
    width = None if between is None or between.ndim != 1 else len(between)
    if content.model is not None and installed("torch"):
        from speakerid.recognition.model_weights import expected_weights

        return expected_weights(content.model, content.features.n_mels, width)
    prefix = "weights.model."
    names = [name.removeprefix("weights.") for name in tensors if content.model and name.startswith(prefix)]
    found = {name: _of(tensors[f"weights.{name}"]) for name in names}
    mean = tensors.get("weights.mean")
    embedding = len(mean) if mean is not None and mean.ndim == 1 else 1
    shapes = {"mean": (embedding,), "whitening": (embedding, width or 1), "within": (), "between": (width or 1,)}
    return found | {name: (shape, _FLOAT) for name, shape in shapes.items()}


def _of(tensor: Array) -> Expectation:
    return tensor.shape, tensor.dtype


def _check_tensors(expected: Mapping[str, Expectation], tensors: Mapping[str, Array]) -> None:
    if expected.keys() != tensors.keys():
        name = min(expected.keys() ^ tensors.keys())
        raise UserError(f"tensor {name!r:.80}: {'missing' if name in expected else 'unknown'}; export it again")
    for name, tensor in tensors.items():
        if _of(tensor) != expected[name]:
            shape, dtype = expected[name]
            raise UserError(
                f"tensor {name!r}: found {tensor.shape} of {tensor.dtype}, expected {shape} of {dtype}, which "
                "the settings describe"
            )
        if tensor.dtype.kind == "f" and not (np.abs(tensor, dtype=np.float32) <= _LARGEST_VALUE).all():
            raise UserError(f"tensor {name!r}: found values that are not finite, or too large")


def _within(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise UserError(f"{name}: found {reprlib.repr(value)}, expected {least:g} to {most:g}")
