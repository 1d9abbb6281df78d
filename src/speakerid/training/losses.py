"""Losses of a batch of logits, with or without a margin between the speakers.

Shapes: N examples, S classes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from speakerid.train_config import AamSoftmaxConfig, CrossEntropyConfig, LossConfig

NEARLY_ZERO = 1e-6
"""Smallest squared sine of an angle, where the slope of the root would be infinite."""


class Loss:
    """Cross-entropy of logits from which a margin was taken at the true class.

    What a model is asked for in training only: accuracy and scores are read off the logits as they are.

    Args:
        settings: kind, margin, label smoothing.
        scale: of cosine logits.
    """

    def __init__(self, settings: LossConfig, scale: float = 1.0) -> None:
        self.settings = settings
        self.scale = scale

    @property
    def is_plain(self) -> bool:
        """Whether it is the cross-entropy and nothing else."""
        return isinstance(self.settings, CrossEntropyConfig) and not self.settings.label_smoothing

    def margin(self, step: int, total_steps: int) -> float:
        """The margin of a step, counted from 0."""
        if isinstance(self.settings, CrossEntropyConfig):
            return 0.0
        rising = self.settings.margin_warmup * total_steps
        return self.settings.margin * (min(1.0, step / rising) if rising else 1.0)

    def __call__(self, logits: Tensor, labels: Tensor, margin: Tensor) -> Tensor:
        """Sum over the batch.

        Args:
            logits: (N, S), scale · cos θ where there is a margin.
            labels: (N,) classes.
            margin: (), of this step.
        """
        if not isinstance(self.settings, CrossEntropyConfig):
            angular = isinstance(self.settings, AamSoftmaxConfig)
            taken = additive_angular_margin if angular else additive_cosine_margin
            places = labels[:, None]
            cosines = logits.gather(1, places) / self.scale
            logits = logits.scatter(1, places, self.scale * taken(cosines, margin))
        return F.cross_entropy(logits, labels, reduction="sum", label_smoothing=self.settings.label_smoothing)


def additive_cosine_margin(cosines: Tensor, margin: Tensor) -> Tensor:
    """cos θ − m: AM-softmax (Wang et al., 2018, "Additive margin softmax", equation 6; CosFace)."""
    return cosines - margin


def additive_angular_margin(cosines: Tensor, margin: Tensor) -> Tensor:
    """cos(θ + m): AAM-softmax (Deng et al., 2019, "ArcFace", equation 3).

    From θ = π − m on, where cos(θ + m) would rise again, it is cos θ − m sin m, as in the authors' code.
    """
    sines = (1 - cosines.square()).clamp(min=NEARLY_ZERO).sqrt()
    turned = cosines * margin.cos() - sines * margin.sin()
    return torch.where(cosines > -margin.cos(), turned, cosines - margin * margin.sin())
