"""A checkpoint says everything: settings, speakers, features, weights, optimizers, place in the run.

There is no random state and no scheduler: both are functions of the step.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from torch import Tensor, nn

import speakerid
from speakerid.config import Config, FeatureConfig, parse
from speakerid.errors import UserError
from speakerid.files import atomic_file, load_plain, save_plain
from speakerid.models.classifier import SpeakerClassifier

FORMAT = "speakerid checkpoint 6"


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run after `step` steps."""

    config: Config
    features: FeatureConfig
    speakers: tuple[str, ...]
    """In the order of the classes."""
    extra_classes: int
    """Behind the speakers', of voices that only helped to train."""
    step: int
    """Steps done."""
    validated: int
    """Of them, at the last validation."""
    accuracy: float | None
    """Of the last validation."""
    best_accuracy: float | None
    """Of the run so far."""
    best_loss: float | None
    """Of the validation with that accuracy; of several the lowest."""
    rollbacks: int
    """How often the run has gone back so far."""
    model: dict[str, Tensor]
    """What training goes on from."""
    average: dict[str, Tensor] | None
    """Moving average of it, which recognises where there is one."""
    optimizers: list[dict[str, Any]]
    progress: dict[str, float]
    """Sums since the last line of the log, and what the watch over collapses knows."""
    code_version: str = speakerid.__version__

    def save(self, path: Path) -> None:
        """Write to a temporary file, sync, rename: at every moment there is a whole checkpoint at `path`."""
        content = {field.name: getattr(self, field.name) for field in fields(self)}
        content |= {
            "format": FORMAT,
            "config": self.config.model_dump(mode="json"),
            "features": self.features.model_dump(mode="json"),
            "speakers": list(self.speakers),
        }
        with atomic_file(path) as partial:
            save_plain(partial, content)

    @staticmethod
    def load(path: Path) -> "Checkpoint":
        """Read a checkpoint onto the CPU without executing anything from it.

        Raises:
            UserError: it is missing, damaged, of another format, incomplete, or carries code.
        """
        try:
            content = load_plain(path)
        except FileNotFoundError as error:
            raise UserError(f"{path}: no such checkpoint; a training run writes best.pt and last.pt") from error
        except UserError as error:
            raise UserError(f"{path}: no sound checkpoint: {error}") from error
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            found = content.get("format") if isinstance(content, dict) else type(content).__name__
            raise UserError(f"{path}: found format {found!r}, expected {FORMAT!r}; another program or version wrote it")
        if missing := [field.name for field in fields(Checkpoint) if field.name not in content]:
            raise UserError(f"{path}: {', '.join(missing)}: missing; another program wrote this checkpoint")
        content["config"] = parse(Config, content["config"], f"{path}: config")
        content["features"] = parse(FeatureConfig, content["features"], f"{path}: features")
        content["speakers"] = tuple(content["speakers"])
        return Checkpoint(**{field.name: content[field.name] for field in fields(Checkpoint)})

    def build_model(self) -> SpeakerClassifier:
        """The model with this checkpoint's weights, in evaluation mode, on the CPU."""
        model = SpeakerClassifier(self.config.model, self.features.n_mels, len(self.speakers), self.extra_classes)
        self.restore_weights(model, self.recognising)
        return model.eval()

    @property
    def recognising(self) -> dict[str, Tensor]:
        """The weights that recognise: the average, or where there is none the model's."""
        return self.model if self.average is None else self.average

    def restore_weights(self, model: nn.Module, weights: dict[str, Tensor]) -> None:
        """Put weights of this checkpoint into a model of the same settings.

        Raises:
            UserError: it has others.
        """
        try:
            model.load_state_dict(weights)
        except RuntimeError as error:
            raise UserError(
                f"the weights of the checkpoint after step {self.step} are not those of the model its settings "
                f"describe; version {self.code_version} wrote it, this is {speakerid.__version__}"
            ) from error
