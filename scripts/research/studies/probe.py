"""Trace the norms of embeddings and gradients at the classifier during training.

Shapes: B embeddings in a batch, W width.
"""

import math

from torch import Tensor, nn

from speakerid import SpeakerClassifier
from speakerid.config.model import ModelConfig
from speakerid.nn.summary import unique_parameters

MEASURES = {
    "embedding_norm": "2-norm of an embedding, mean over the batch",
    "embedding_spread": "standard deviation of that norm over the batch",
    "common_share": "share of the embeddings' mean square in their common mean; 1 if all are equal",
    "normalized_norm": "2-norm of an embedding after the classifier's BatchNorm, mean over the batch",
    "normalized_spread": "standard deviation of that norm over the batch",
    "gradient_norm": "2-norm of the gradient of all parameters, before clipping",
    "input_gradient": "2-norm of the gradient of an example's loss with respect to its embedding, mean over the batch",
}
"""Values in a line of the trace besides the step; values that are not finite are left out."""


class Probe:
    """Hooks on a classifier in training, which record at the first step and whenever a run writes its log.

    The step itself does not depend on it. One batch must be one forward pass (`train.accumulate=1`).

    Args:
        log_steps: steps between two lines of the trace.

    Attributes:
        classes: number of classes of the model.
        parameters: number of parameters of the model.
    """

    def __init__(self, log_steps: int) -> None:
        self.classes = self.parameters = 0
        self._log_steps = log_steps
        self._lines: list[dict[str, float]] = []
        self._step = 0

    @property
    def trace(self) -> list[dict[str, float]]:
        """`MEASURES` at the recorded steps, which are counted from 1."""
        return [{name: value for name, value in line.items() if math.isfinite(value)} for line in self._lines]

    def make_model(self, config: ModelConfig, n_mels: int, n_speakers: int, n_extra: int) -> nn.Module:
        """Make a `SpeakerClassifier` with these hooks."""
        model = SpeakerClassifier(config, n_mels, n_speakers, n_extra)
        self.classes, self.parameters = n_speakers + n_extra, unique_parameters(model)
        model.register_forward_pre_hook(self._begin)
        model.classifier.register_forward_pre_hook(self._see_embeddings)
        for module in model.classifier.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.register_forward_hook(self._see_normalized)
        for parameter in model.parameters():
            parameter.register_post_accumulate_grad_hook(self._see_gradient)
        return model

    def _begin(self, model: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if model.training:
            self._step += 1
            if self._is_due:
                self._lines.append({"step": self._step})

    @property
    def _is_due(self) -> bool:
        return self._step == 1 or self._step % self._log_steps == 0

    def _see_embeddings(self, classifier: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if not (classifier.training and self._is_due):
            return
        embeddings = inputs[0]
        self._see_norms(embeddings, "embedding")
        x = embeddings.detach()
        self._note("common_share", float(x.mean(0).square().sum() / x.square().sum(-1).mean()))
        embeddings.register_hook(self._see_input_gradient)

    def _see_normalized(self, norm: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if norm.training and self._is_due:
            self._see_norms(output, "normalized")

    def _see_norms(self, x: Tensor, name: str) -> None:
        """Record the norms of (B, W) embeddings."""
        norms = x.detach().norm(dim=-1)
        self._note(f"{name}_norm", float(norms.mean()))
        self._note(f"{name}_spread", float(norms.std(correction=0)))

    def _see_input_gradient(self, gradient: Tensor) -> None:
        # The loss is the mean over the batch, so the gradient of an example's own loss is B times as large.
        self._note("input_gradient", len(gradient) * float(gradient.norm(dim=-1).mean()))

    def _see_gradient(self, parameter: Tensor) -> None:
        if self._is_due and parameter.grad is not None:
            so_far = self._lines[-1].get("gradient_norm", 0.0)
            self._note("gradient_norm", math.hypot(so_far, float(parameter.grad.norm())))

    def _note(self, name: str, value: float) -> None:
        self._lines[-1][name] = value
