"""One file that knows its speakers: weights, voice prints, thresholds and where they come from.

The file is a safetensors file, so nothing in it can run: tensors, and one JSON text in the header.

Letters: N utterances of known speakers, I of strangers, D width of a voice print, S speakers, K centres a speaker.
"""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

import speakerid
from speakerid.config import FeatureConfig
from speakerid.errors import UserError
from speakerid.files import atomic_file, real_path, remove_partials, sole_user
from speakerid.model_config import ModelConfig
from speakerid.recognition.decision import Rule, Thresholds
from speakerid.recognition.embedder import Embedder, plda_in
from speakerid.recognition.evidence import Evidence
from speakerid.recognition.fitting import Expected, fit_identification, fit_verification
from speakerid.recognition.profiles import Profiles
from speakerid.settings import Settings, parse

FORMAT = "speakerid bundle 2"
_HEADER = "speakerid"

FileVersion = tuple[int, int, int, int]
"""Device, inode, time of the last change and size of a file."""


class _Speaker(Settings, frozen=True):
    name: str
    clips: int
    trained: bool


class _RuleContent(Settings, frozen=True):
    scale: list[float]
    unknown: list[float]
    seconds: list[float]
    rates: list[float]
    log_odds: list[list[float]]

    @staticmethod
    def of(rule: Rule) -> _RuleContent:
        thresholds = rule.thresholds
        return _RuleContent(
            scale=rule.scale.tolist(),
            unknown=rule.unknown.tolist(),
            seconds=thresholds.seconds.tolist(),
            rates=thresholds.rates.tolist(),
            log_odds=thresholds.log_odds.tolist(),
        )

    def rule(self) -> Rule:
        thresholds = Thresholds(np.array(self.seconds), np.array(self.rates), np.array(self.log_odds))
        return Rule(np.array(self.scale), np.array(self.unknown), thresholds)


class _Content(Settings, frozen=True):
    """The JSON in a bundle."""

    format: str
    digest: str
    """SHA-256 of everything else."""
    model: ModelConfig
    features: FeatureConfig
    speakers: list[_Speaker]
    seconds: list[float]
    """Durations of the evidence."""
    evidence_speakers: list[list[str]]
    """Of its known utterances, by duration."""
    identification: _RuleContent
    verification: _RuleContent | None
    expected: list[Expected]
    card: dict[str, JsonValue]


@dataclass(frozen=True)
class Bundle:
    """Everything that recognition needs.

    Attributes:
        model: settings of the embedder.
        features: of the recordings.
        weights: of the embedder.
        profiles: whom it knows.
        evidence: what thresholds and probabilities are fitted on, by duration, ascending.
        identification: who of the speakers it is, or a stranger.
        verification: whether two recordings are of one speaker; None where nothing told.
        expected: what can be expected of `identification`.
        card: where it comes from and what was measured, as plain data; see `speakerid.recognition.exporting`.
    """

    model: ModelConfig
    features: FeatureConfig
    weights: Mapping[str, Tensor]
    profiles: Profiles
    evidence: Sequence[Evidence]
    identification: Rule
    verification: Rule | None
    expected: Sequence[Expected]
    card: Mapping[str, Any]

    @staticmethod
    def fitted(
        model: ModelConfig,
        features: FeatureConfig,
        weights: Mapping[str, Tensor],
        profiles: Profiles,
        evidence: Sequence[Evidence],
        card: Mapping[str, Any],
    ) -> Bundle:
        """With thresholds and probabilities for these profiles; arguments are attributes."""
        identification, promised = fit_identification(evidence, profiles)
        return Bundle(
            model,
            features,
            weights,
            profiles,
            evidence,
            identification,
            fit_verification(evidence, profiles.plda),
            promised,
            card,
        )

    def embedder(self) -> Embedder:
        """The model with its weights, in evaluation mode, on the CPU."""
        embedder = Embedder(self.model, self.features.n_mels)
        try:
            embedder.load_state_dict(dict(self.weights))
        except RuntimeError as error:
            raise UserError("its weights are not those of the model that its settings describe") from error
        return embedder.eval()

    @cached_property
    def encoder(self) -> str:
        """Fingerprint of features, model settings and weights: voice prints compare only within one encoder."""
        digest = hashlib.sha256(f"{self.features.model_dump_json()} {self.model.model_dump_json()}".encode())
        _add_tensors(digest, self.weights)
        return digest.hexdigest()[:32]

    def enrolled(self, name: str, prints: NDArray[np.floating]) -> Bundle:
        """With one more speaker; arguments and errors as for `Profiles.with_speaker`."""
        return self._with(self.profiles.with_speaker(name, prints), self.evidence)

    def forgotten(self, name: str) -> Bundle:
        """Without a speaker, and without every voice print of theirs.

        Raises:
            UserError: there is none of this name, or nobody else whom thresholds could be fitted on.
        """
        profiles = self.profiles.without(name)
        evidence = [some.without(name) for some in self.evidence]
        if not all(len(some.known) for some in evidence):
            raise UserError(
                f"{name!r}: is the last speaker whose recordings thresholds are fitted on; delete the bundle instead"
            )
        return self._with(profiles, evidence)

    def renamed(self, old: str, new: str) -> Bundle:
        """With another name for a speaker; errors as for `Profiles.renamed`."""
        evidence = [some.renamed(old, new) for some in self.evidence]
        return replace(self, profiles=self.profiles.renamed(old, new), evidence=evidence)

    def _with(self, profiles: Profiles, evidence: Sequence[Evidence]) -> Bundle:
        return Bundle.fitted(self.model, self.features, self.weights, profiles, evidence, self.card)

    def save(self, path: Path) -> FileVersion:
        """Write to a temporary file, sync, rename: at every moment there is a whole bundle at `path`.

        A new file is readable by its owner only.

        Returns:
            The version of the file that was written.
        """
        tensors = self._tensors()
        speakers = zip(self.profiles.names, self.profiles.clips, self.profiles.trained, strict=True)
        content = _Content(
            format=FORMAT,
            digest="",
            model=self.model,
            features=self.features,
            speakers=[_Speaker(name=name, clips=clips, trained=trained) for name, clips, trained in speakers],
            seconds=[some.seconds for some in self.evidence],
            evidence_speakers=[some.speakers.tolist() for some in self.evidence],
            identification=_RuleContent.of(self.identification),
            verification=_RuleContent.of(self.verification) if self.verification else None,
            expected=list(self.expected),
            card=dict(self.card),
        )
        content = content.model_copy(update={"digest": _digest(content, tensors)})
        with atomic_file(path, mode=0o600) as partial:
            partial.write_bytes(save(tensors, {_HEADER: content.model_dump_json()}))
            version = version_of(partial)
        assert version is not None
        return version

    @staticmethod
    def load(path: Path) -> Bundle:
        """Read a bundle.

        Raises:
            UserError: it is missing, damaged, changed by another program, or no bundle.
        """
        try:
            blob = path.read_bytes()
        except OSError as error:
            raise UserError(
                f"{path}: cannot be read: {error.strerror}; `speakerid export` makes a bundle of a checkpoint"
            ) from error
        content, tensors = _parse(path, blob)
        weights = {name.removeprefix("weights."): t for name, t in tensors.items() if name.startswith("weights.")}
        try:
            return Bundle(
                content.model,
                content.features,
                weights,
                Profiles(
                    tuple(speaker.name for speaker in content.speakers),
                    plda_in(weights),
                    tensors["centres"].numpy(),
                    tuple(speaker.clips for speaker in content.speakers),
                    tuple(speaker.trained for speaker in content.speakers),
                ),
                [
                    _evidence(seconds, speakers, tensors, f"evidence.{place}.")
                    for place, (seconds, speakers) in enumerate(
                        zip(content.seconds, content.evidence_speakers, strict=True)
                    )
                ],
                content.identification.rule(),
                content.verification.rule() if content.verification else None,
                content.expected,
                content.card,
            )
        except (KeyError, ValueError) as error:
            raise UserError(f"{path}: incomplete bundle ({error}); export it again") from error

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {f"weights.{name}": tensor.contiguous() for name, tensor in self.weights.items()}
        tensors["centres"] = torch.from_numpy(np.ascontiguousarray(self.profiles.centres))
        for place, some in enumerate(self.evidence):
            # Half precision moves a score by a thousandth of their range at most, and halves what is most of a bundle.
            tensors[f"evidence.{place}.known"] = torch.from_numpy(some.known.astype(np.float16))
            tensors[f"evidence.{place}.strangers"] = torch.from_numpy(some.strangers.astype(np.float16))
            tensors[f"evidence.{place}.stranger_speakers"] = torch.from_numpy(some.stranger_speakers.astype(np.int32))
        return tensors


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep every other writer of a bundle waiting while the block runs, and remove what killed writers left of it.

    The lock file lies beside the bundle that `path` leads to and has its permissions.

    Raises:
        UserError: the folder cannot be written.
    """
    real = real_path(path)
    try:
        mode = stat.S_IMODE(real.stat().st_mode)
    except OSError:
        mode = 0o600  # a new bundle's
    with sole_user(real.with_name(f".{real.name}.lock"), wait=True, mode=mode & 0o666):
        remove_partials(real.parent, of=real)
        yield


@contextmanager
def changing(path: Path) -> Iterator[list[Bundle]]:
    """Yield a list with the bundle at `path`; the one that is in it when the block ends well is written back.

    Others who change the bundle wait for one another, so nothing is lost.
    """
    if not path.exists():
        Bundle.load(path)  # says so
    with locked(path):
        held = [Bundle.load(path)]
        yield held
        held[0].save(path)


def version_of(path: Path) -> FileVersion | None:
    """Changes whenever a bundle's file is replaced or written; None if there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


def _parse(path: Path, blob: bytes) -> tuple[_Content, dict[str, Tensor]]:
    try:
        tensors = load(blob)
        length = int.from_bytes(blob[:8], "little")
        metadata = json.loads(blob[8 : 8 + length]).get("__metadata__", {})
    except (SafetensorError, ValueError) as error:
        raise UserError(f"{path}: damaged, or no safetensors file: {error}") from error
    if _HEADER not in metadata:
        raise UserError(f"{path}: found a safetensors file without a {_HEADER!r} text; expected a bundle, see `export`")
    try:
        found = json.loads(metadata[_HEADER])
    except ValueError as error:
        raise UserError(f"{path}: its {_HEADER!r} text is no JSON: {error}") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        form = found.get("format") if isinstance(found, dict) else type(found).__name__
        raise UserError(
            f"{path}: found format {form!r}, expected {FORMAT!r}, which version {speakerid.__version__} reads; "
            "export it again from its checkpoint"
        )
    content = parse(_Content, found, path)
    if content.digest != _digest(content, tensors):
        raise UserError(f"{path}: its content is not what was written (checksum); do not trust it, export it again")
    return content, tensors


def _digest(content: _Content, tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(content.model_copy(update={"digest": ""}).model_dump_json().encode())
    _add_tensors(digest, tensors)
    return digest.hexdigest()


def _add_tensors(digest: hashlib._Hash, tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.numpy().tobytes())


def _evidence(seconds: float, speakers: Sequence[str], tensors: Mapping[str, Tensor], prefix: str) -> Evidence:
    known = tensors[f"{prefix}known"].float().numpy()
    if len(known) != len(speakers):
        raise ValueError(f"{prefix}known: {len(known)} utterances of {len(speakers)} speakers")
    strangers = tensors[f"{prefix}strangers"].float().numpy()
    return Evidence(seconds, known, np.array(speakers, str), strangers, tensors[f"{prefix}stranger_speakers"].numpy())
