"""Checkpoints: settings, speakers, features, utterances, weights, optimizers and progress of a run.

They hold no random state and no scheduler, since both are functions of the step.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import speakerid
from speakerid.base.errors import UserError
from speakerid.base.files import StrPath, atomic_file
from speakerid.base.plain_data import load_plain, save_plain
from speakerid.base.printing import short
from speakerid.config import Config, FeatureConfig, ModelConfig, parse
from speakerid.nn.classifier import SpeakerClassifier
from speakerid.training.checkpoint_schema import difference, parse_content
from speakerid.training.run_state import RunState
from speakerid.training.utterance_record import UtteranceRecord

FORMAT = "speakerid checkpoint 7"
FORMER = "speakerid checkpoint 6"
"""Earlier format that can still be read; it has no record of the training utterances."""


@dataclass(frozen=True)
class Checkpoint(RunState):
    """State of a run after `step` steps, with all that is needed to resume it or to use its model."""

    config: Config
    features: FeatureConfig
    speakers: tuple[str, ...]
    """Names in the order of the classes."""
    extra_classes: int
    """Number of classes after the speakers', for voices that only help to train."""
    model: dict[str, Tensor] = field(repr=False)
    """Weights from which training continues."""
    average: dict[str, Tensor] | None = field(repr=False)
    """Moving average of the weights, used for inference if there is one."""
    optimizers: list[dict[str, Any]] = field(repr=False)
    utterances: UtteranceRecord | None = field(repr=False)
    """Training and validation utterances; None in a checkpoint of an earlier format."""
    code_version: str = speakerid.__version__

    def save(self, path: StrPath) -> None:
        """Write the checkpoint atomically: to a temporary file, which is synced and renamed."""
        content = {one.name: getattr(self, one.name) for one in fields(self)}
        content |= {
            "format": FORMAT,
            "config": self.config.model_dump(mode="json"),
            "features": self.features.model_dump(mode="json"),
            "speakers": list(self.speakers),
            "utterances": None if self.utterances is None else vars(self.utterances),
        }
        with atomic_file(Path(path)) as partial:
            save_plain(partial, content)

    @staticmethod
    def load(path: StrPath) -> "Checkpoint":
        """Load a checkpoint to the CPU, without executing any code in it.

        Raises:
            UserError: the checkpoint is missing, damaged, incomplete, of another format, or contains code.
        """
        try:
            content = load_plain(Path(path))
        except FileNotFoundError as error:
            raise UserError(f"{path}: no such checkpoint; a training run writes best.pt and last.pt") from error
        except UserError as error:
            raise UserError(f"{path}: not a valid checkpoint: {error}") from error
        found = content.get("format") if isinstance(content, dict) else type(content).__name__
        if not isinstance(content, dict) or found not in (FORMAT, FORMER):
            raise UserError(
                f"{path}: found format {short(found)}, expected {FORMAT!r}; another program or version wrote it"
            )
        if found == FORMER:
            content["utterances"] = None
        content.setdefault("precision", None)  # former versions did not write it
        if missing := [field.name for field in fields(Checkpoint) if field.name not in content]:
            raise UserError(f"{path}: {', '.join(missing)}: missing; another program wrote this checkpoint")
        return Checkpoint(
            **parse_content(content, str(path)),
            config=parse(Config, content["config"], f"{path}: config"),
            features=parse(FeatureConfig, content["features"], f"{path}: features"),
        )

    def build_model(self) -> SpeakerClassifier:
        """Build the model with this checkpoint's weights, in evaluation mode, on the CPU.

        Raises:
            UserError: the weights do not fit the settings; detected before the model is allocated.
        """
        weights = self.checked_weights()
        model = SpeakerClassifier(*self._size)
        model.load_state_dict(weights)
        return model.eval()

    def checked_weights(self) -> dict[str, Tensor]:
        """`inference_weights`, compared with a model of the settings, which is not allocated.

        Raises:
            UserError: the weights do not fit the settings.
        """
        try:
            with torch.device("meta"):
                expected = SpeakerClassifier(*self._size).state_dict()
        except (RuntimeError, MemoryError, OverflowError) as error:  # more elements than 64 bits can count
            raise self._refusal("a model of this size cannot be built") from error
        if reason := difference(expected, self.inference_weights):
            raise self._refusal(reason)
        return self.inference_weights

    @property
    def _size(self) -> tuple[ModelConfig, int, int, int]:
        return self.config.model, self.features.n_mels, len(self.speakers), self.extra_classes

    @property
    def inference_weights(self) -> dict[str, Tensor]:
        """Weights for inference: the moving average if there is one, else the model's."""
        return self.model if self.average is None else self.average

    def restore_weights(self, model: nn.Module, weights: Mapping[str, Tensor]) -> None:
        """Load weights of this checkpoint into a model of the same settings.

        Raises:
            UserError: the weights do not fit the model.
        """
        if reason := difference(model.state_dict(), weights):
            raise self._refusal(reason)
        model.load_state_dict(weights)

    def _refusal(self, reason: str) -> UserError:
        return UserError(
            f"the weights of the checkpoint after step {self.step} do not fit the model of its settings "
            f"({reason}); it was written by version {short(self.code_version)}, this is {speakerid.__version__}"
        )
