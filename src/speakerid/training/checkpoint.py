"""A checkpoint says everything: settings, speakers, features, weights, optimizer, random state, place in the run."""

import io
import pickle
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import speakerid
from speakerid.config import Config, FeatureConfig, parse
from speakerid.errors import UserError
from speakerid.files import atomic_file
from speakerid.models.classifier import SpeakerClassifier

FORMAT = "speakerid checkpoint 1"


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run after `step` steps."""

    config: Config
    features: FeatureConfig
    speakers: tuple[str, ...]
    """In the order of the classes."""
    step: int
    """Steps done."""
    accuracy: float | None
    """Validation accuracy at this step or at the last validation before it."""
    best_accuracy: float | None
    """Of the run so far."""
    model: dict[str, Tensor]
    optimizer: dict[str, Any]
    progress: dict[str, float]
    """Sums since the last progress line."""
    random_state: dict[str, Tensor]
    """Of torch's generators, by device."""
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
        buffer = io.BytesIO()  # so that a full disk is an OSError of ours, not a crash inside the archive writer
        torch.save(content, buffer)
        with atomic_file(path) as partial:
            partial.write_bytes(buffer.getbuffer())

    @staticmethod
    def load(path: Path) -> "Checkpoint":
        """Read a checkpoint onto the CPU without executing anything from it.

        Raises:
            UserError: it is missing, damaged, of another format, or carries code.
        """
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except FileNotFoundError as error:
            raise UserError(f"{path}: no such checkpoint; a training run writes best.pt and last.pt") from error
        except pickle.UnpicklingError as error:
            raise UserError(f"{path}: holds Python objects or code instead of plain data; refused") from error
        except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
            raise UserError(f"{path}: truncated or not a checkpoint; use another one of the run") from error
        found = content.get("format") if isinstance(content, dict) else type(content).__name__
        if found != FORMAT:
            raise UserError(
                f"{path}: found format {found!r}, expected {FORMAT!r}; written by another program or version"
            )
        content["config"] = parse(Config, content["config"], f"{path}: config")
        content["features"] = parse(FeatureConfig, content["features"], f"{path}: features")
        content["speakers"] = tuple(content["speakers"])
        return Checkpoint(**{field.name: content[field.name] for field in fields(Checkpoint)})

    def build_model(self) -> SpeakerClassifier:
        """The model with this checkpoint's weights, in evaluation mode, on the CPU."""
        model = SpeakerClassifier(self.config.model, self.features.n_mels, len(self.speakers))
        model.load_state_dict(self.model)
        return model.eval()
