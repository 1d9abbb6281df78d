"""Initialize a run with the weights of another one, of the same speakers or of others."""

from pathlib import Path

from torch import Tensor, nn

from speakerid.base.distributed import from_rank_0
from speakerid.base.errors import UserError
from speakerid.config import ModelConfig
from speakerid.corpus.utterances import Corpus
from speakerid.training.checkpoint import Checkpoint

_WITHOUT_WEIGHTS = ("model.encoder.dropout", "model.encoder.layer_drop", "model.classifier.scale")
"""Settings that may differ, since no weight depends on them."""


def load_initial_weights(model: nn.Module, path: Path, config: ModelConfig, corpus: Corpus) -> tuple[str, Checkpoint]:
    """Load the inference weights of a checkpoint into a new model.

    Everything before the classifier is always taken; the classifier if it has the same settings and the same classes in
    the same order.

    Args:
        model: model of the new run.
        path: `init_from` of the run; only rank 0 reads it.
        config: settings of the model.
        corpus: training corpus.

    Returns:
        A line that says which parts were taken, and why if the classifier was not; and the checkpoint.

    Raises:
        UserError: a bad checkpoint, or features or settings before the classifier that differ from the checkpoint's;
            the message names all of them.
    """
    checkpoint = from_rank_0(lambda: _load(path))
    differences = _differences(checkpoint, config, corpus)
    classifier_differences = [line for line in differences if line.startswith("model.classifier")]
    if others := [line for line in differences if line not in classifier_differences]:
        raise UserError(
            f"init_from: {path}: its weights are of another model: {'; '.join(others)}; use the same settings, or "
            "leave init_from out"
        )
    weights, classifier = _split_classifier(checkpoint.inference_weights)
    if reasons := classifier_differences + _other_classes(checkpoint, corpus):
        _, classifier = _split_classifier(model.state_dict())
    try:
        checkpoint.restore_weights(model, weights | classifier)
    except UserError as error:
        raise UserError(f"init_from: {path}: {error}") from error
    parts = ", ".join(dict.fromkeys(name.split(".")[0] for name in weights))
    rest = f"; new: classifier ({'; '.join(reasons)})" if reasons else ", classifier; new: nothing"
    return f"Taken from {path} (step {checkpoint.step}): {parts}{rest}", checkpoint


def _load(path: Path) -> Checkpoint:
    try:
        return Checkpoint.load(path)
    except UserError as error:
        raise UserError(f"init_from: {error}") from error


def _differences(checkpoint: Checkpoint, config: ModelConfig, corpus: Corpus) -> list[str]:
    """A line for each setting of features and model that differs from the checkpoint's."""
    features = corpus.features.differences(checkpoint.features)
    model = config.differences(checkpoint.config.model)
    values = {f"features.{name}": pair for name, pair in features.items()}
    values |= {f"model.{name}": pair for name, pair in model.items()}
    return [
        f"{name} is {here}, but {there} in the checkpoint"
        for name, (here, there) in values.items()
        if name not in _WITHOUT_WEIGHTS
    ]


def _other_classes(checkpoint: Checkpoint, corpus: Corpus) -> list[str]:
    if corpus.speakers != checkpoint.speakers:
        return [
            f"the {len(corpus.speakers)} speakers of the corpus are not the checkpoint's {len(checkpoint.speakers)}"
        ]
    if corpus.extra_classes != checkpoint.extra_classes:
        return [
            f"the corpus has {corpus.extra_classes} voices that only help to train, the checkpoint "
            f"{checkpoint.extra_classes}"
        ]
    return []


def _split_classifier(weights: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Split weights into those before the classifier and those of the classifier."""
    before_classifier = {name: value for name, value in weights.items() if not name.startswith("classifier.")}
    return before_classifier, {name: value for name, value in weights.items() if name not in before_classifier}
