"""Names of `speakerid` from the modules in which a revision has them, so that earlier revisions run too."""

from importlib import import_module
from typing import Any


def find(name: str, *modules: str) -> Any:
    """The name from the first of these modules of `speakerid` that has it.

    Raises:
        ImportError: none has it.
    """
    for module in modules:
        try:
            return getattr(import_module(f"speakerid.{module}"), name)
        except (ImportError, AttributeError):
            continue
    raise ImportError(f"{name}: found in none of {', '.join(modules)}")


SpeakerClassifier = find("SpeakerClassifier", "nn.classifier", "models.classifier")
TrainingBatches = find("TrainingBatches", "training.batches", "batches")
UserError = find("UserError", "base.errors", "errors")
keep_freed_memory = find("keep_freed_memory", "base.memory", "memory")
predict = find("predict", "training.predict", "evaluation.predict")
