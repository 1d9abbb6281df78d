"""Bundles: one file with the weights of an embedder, the voice prints of speakers, thresholds and their provenance.

Shapes: N utterances of known speakers, I of strangers, D width of a voice print, S speakers, K centers per speaker.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from speakerid.audio.frontends import Frontend, frontend_of
from speakerid.base.errors import UserError
from speakerid.base.extras import install, installed
from speakerid.base.files import StrPath, atomic_file
from speakerid.base.printing import counted
from speakerid.config import FeatureConfig
from speakerid.config.model import ModelConfig
from speakerid.recognition.bundle_changes import Known, enrolled
from speakerid.recognition.bundle_check import check, kept_arrays
from speakerid.recognition.bundle_file import (
    FORMAT,
    Array,
    Content,
    RuleContent,
    SpeakerContent,
    add_tensors,
    as_bytes,
    evidence_in,
    profiles_in,
    read,
    tensors_of,
)
from speakerid.recognition.bundle_file import Content as _Content  # noqa: F401  # scripts that edit bundles use it
from speakerid.recognition.bundle_file import digest_of as _digest  # noqa: F401  # and this
from speakerid.recognition.bundle_lock import FileVersion, version_of
from speakerid.recognition.bundle_lock import locked as locked  # part of this module as before
from speakerid.recognition.calibration_set import CalibrationSet
from speakerid.recognition.decision import Rule
from speakerid.recognition.fitting import Expected, fit_identification, fit_verification
from speakerid.recognition.kept_prints import KeptPrints, prints_of
from speakerid.recognition.network import Network
from speakerid.recognition.onnx_network import OnnxNetwork
from speakerid.recognition.pretrained import Pretrained, PretrainedNetwork
from speakerid.recognition.profiles import Profiles
from speakerid.recognition.projection import Projection

if TYPE_CHECKING:
    from speakerid.recognition.embedder import Embedder


@dataclass(frozen=True)
class Bundle:
    """Everything needed for recognition.

    Attributes:
        model: settings of the embedder; None with a pretrained encoder.
        features: settings of the features.
        weights: weights of the embedder.
        profiles: profiles of the known speakers.
        evidence: voice prints that thresholds and probabilities are fitted on, by duration in ascending order.
        identification: rule that says which speaker it is, or a stranger.
        verification: rule that says whether two recordings are of one speaker; None if there were too few recordings.
        expected: expected error rates of `identification`.
        card: provenance and measurements, as plain data; see `speakerid.recognition.make_bundle`.
        onnx: the encoder in ONNX, which works without PyTorch, see `speakerid.deployment.encoder`; None without it.
        pretrained: description of the encoder if it is a pretrained one, which `onnx` then is.
        kept: single voice prints of enrolled recordings and turns, and corrections.
    """

    model: ModelConfig | None
    features: FeatureConfig
    weights: Mapping[str, Array]
    profiles: Profiles
    evidence: Sequence[CalibrationSet]
    identification: Rule
    verification: Rule | None
    expected: Sequence[Expected]
    card: Mapping[str, Any]
    onnx: NDArray[np.uint8] | None = None
    pretrained: Pretrained | None = None
    kept: KeptPrints = field(default_factory=KeptPrints)

    @staticmethod
    def fitted(
        model: ModelConfig | None,
        features: FeatureConfig,
        weights: Mapping[str, Array],
        profiles: Profiles,
        evidence: Sequence[CalibrationSet],
        card: Mapping[str, Any],
        onnx: NDArray[np.uint8] | None = None,
        pretrained: Pretrained | None = None,
    ) -> Bundle:
        """Create a bundle, and fit thresholds and probabilities for its profiles; arguments are attributes."""
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
            onnx,
            pretrained,
        )

    def __repr__(self) -> str:
        return f"Bundle({self.size}, {self.model.encoder.kind if self.model else self.card.get('encoder')})"

    @property
    def size(self) -> str:
        """Number of speakers and sample rate, in words."""
        return f"{counted(len(self.profiles.names), 'speaker')}, {self.features.sample_rate / 1000:g} kHz"

    def embedder(self) -> Embedder:
        """Build the model with its weights, in evaluation mode, on the CPU; this needs PyTorch."""
        import torch

        from speakerid.recognition.embedder import Embedder

        if self.model is None:
            raise UserError("found a bundle of a pretrained encoder, which has no model of torch; it works as it is")
        embedder = Embedder(self.model, self.features.n_mels, width=len(self.weights["between"]))
        try:
            embedder.load_state_dict({name: torch.from_numpy(weight.copy()) for name, weight in self.weights.items()})
        except RuntimeError as error:
            raise UserError("its weights are not those of the model that its settings describe") from error
        return embedder.eval()

    def network(self) -> Network:
        """Build the network that makes voice prints: by PyTorch if it is installed, else in ONNX.

        Raises:
            UserError: neither PyTorch nor the encoder in ONNX is there.
        """
        if self.pretrained and self.onnx is not None:
            return PretrainedNetwork(self.onnx, self.pretrained, Projection.of(self.weights))
        if installed("torch"):
            return self.embedder()
        if self.onnx is None:
            raise UserError(
                "the bundle has no encoder in ONNX, and torch is not installed; `speakerid export BUNDLE NEW --to "
                f"runtime` adds it, where torch is installed; or install that: {install('train')}"
            )
        return OnnxNetwork(self.onnx, Projection.of(self.weights))

    def frontend(self) -> Frontend:
        """Front end that turns samples into the frames of the encoder."""
        return frontend_of(self.features, self.pretrained.features if self.pretrained else None)

    @cached_property
    def encoder(self) -> str:
        """Fingerprint of features, model settings and weights; only voice prints of one encoder can be compared."""
        model = self.model or self.pretrained
        assert model is not None
        digest = hashlib.sha256(f"{self.features.model_dump_json()} {model.model_dump_json()}".encode())
        add_tensors(digest, self.weights)
        return digest.hexdigest()[:32]

    @property
    def fitted_on(self) -> str:
        """Description of the data that thresholds were fitted on."""
        return str(self.card.get("fitted_on", "data that its card does not name"))

    def enrolled(
        self, name: str, prints: NDArray[np.floating], recordings: Iterable[int] = (), add: bool = False
    ) -> Bundle:
        """Bundle with one more speaker, or with `add` with more recordings of one.

        Arguments and errors are those of `Profiles.with_speaker` and `Profiles.with_more`.
        """
        digests = list(recordings)
        kept = prints_of(name, prints, digests)
        return self.changed(enrolled(Known(self.profiles, self.kept), kept, digests, add))

    def changed(self, known: Known) -> Bundle:
        """Bundle with other profiles, and the prints that they follow from."""
        return replace(self._with(known.profiles, self.evidence), kept=known.kept)

    def forgotten(self, name: str) -> Bundle:
        """Bundle without a speaker, and without any of the speaker's voice prints.

        Raises:
            UserError: no speaker has this name, or no one else is left to fit thresholds on.
        """
        profiles, name = self.profiles.without(name), self.profiles.stored_name(name)
        evidence = [some.without(name) for some in self.evidence]
        if not all(len(some.known) for some in evidence):
            raise UserError(
                f"{name!r}: found the last speaker whose recordings thresholds are fitted on; delete the bundle instead"
            )
        return replace(self._with(profiles, evidence), kept=self.kept.without(name))

    def renamed(self, old: str, new: str) -> Bundle:
        """Bundle with another name for a speaker; errors as for `Profiles.renamed`."""
        profiles, index = self.profiles.renamed(old, new), self.profiles.index(old)
        old, new = self.profiles.names[index], profiles.names[index]
        evidence = [some.renamed(old, new) for some in self.evidence]
        return replace(self, profiles=profiles, evidence=evidence, kept=self.kept.renamed(old, new))

    def _with(self, profiles: Profiles, evidence: Sequence[CalibrationSet]) -> Bundle:
        return Bundle.fitted(
            self.model, self.features, self.weights, profiles, evidence, self.card, self.onnx, self.pretrained
        )

    def save(self, path: StrPath) -> FileVersion:
        """Write the bundle atomically: to a temporary file, which is synced and renamed.

        Only its owner can read a new file.

        Returns:
            The version of the written file.
        """
        speakers = zip(self.profiles.names, self.profiles.clips, self.profiles.trained, strict=True)
        content = Content(
            format=FORMAT,
            digest="",
            model=self.model,
            features=self.features,
            speakers=[SpeakerContent(name=name, clips=clips, trained=trained) for name, clips, trained in speakers],
            seconds=[some.seconds for some in self.evidence],
            evidence_speakers=[some.speakers.tolist() for some in self.evidence],
            joined=[some.joined for some in self.evidence],
            identification=RuleContent.of(self.identification),
            verification=RuleContent.of(self.verification) if self.verification else None,
            expected=list(self.expected),
            card=dict(self.card),
            pretrained=self.pretrained,
            corrections=list(self.kept.corrections),
        )
        tensors = tensors_of(self.weights, self.profiles, self.evidence)
        kept = self.kept.arrays(self.profiles.names)
        blob = as_bytes(content, tensors | kept if self.onnx is None else tensors | kept | {"onnx": self.onnx})
        with atomic_file(Path(path), mode=0o600) as partial:
            partial.write_bytes(blob)
            version = version_of(partial)
        assert version is not None
        return version

    @staticmethod
    def load(path: StrPath) -> Bundle:
        """Load a bundle.

        Raises:
            UserError: the bundle is missing or damaged, or its content cannot be the result of `export`.
        """
        content, tensors = read(Path(path))
        try:
            check(content, tensors)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
        weights = {name.removeprefix("weights."): t for name, t in tensors.items() if name.startswith("weights.")}
        return Bundle(
            content.model,
            content.features,
            weights,
            profiles_in(content, weights, tensors),
            [evidence_in(content, tensors, index) for index in range(len(content.seconds))],
            content.identification.rule(),
            content.verification.rule() if content.verification else None,
            content.expected,
            content.card,
            tensors.get("onnx"),
            content.pretrained,
            KeptPrints.of_arrays(kept_arrays(tensors), [one.name for one in content.speakers], content.corrections),
        )
