"""Cross-entropy losses, with or without a margin.

Shapes: N examples, S classes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from speakerid.config.train import AamSoftmaxConfig, CrossEntropyConfig, LossConfig

NEARLY_ZERO = 1e-6
"""Lower bound of a squared sine, so that the gradient of its square root stays finite."""


class Loss:
    """Cross-entropy with a margin on the logit of the true class.

    The margin applies to the training loss only: accuracy and scores come from the unmodified logits.

    Args:
        settings: kind, margin, label smoothing.
        scale: scale of cosine logits.
    """

    def __init__(self, settings: LossConfig, scale: float = 1.0) -> None:
        self.settings = settings
        self.scale = scale

    @property
    def is_plain(self) -> bool:
        """Whether this is the cross-entropy without margin and label smoothing."""
        return isinstance(self.settings, CrossEntropyConfig) and not self.settings.label_smoothing

    def margin(self, step: int, total_steps: int) -> float:
        """Margin at a step, counted from 0."""
        if isinstance(self.settings, CrossEntropyConfig):
            return 0.0
        rising = self.settings.margin_warmup * total_steps
        return self.settings.margin * (min(1.0, step / rising) if rising else 1.0)

    def __call__(self, logits: Tensor, labels: Tensor, margin: Tensor) -> Tensor:
        """Sum of the losses of a batch.

        Args:
            logits: (N, S); scale · cos θ if there is a margin.
            labels: (N,) classes.
            margin: () margin of this step.
        """
        if not isinstance(self.settings, CrossEntropyConfig):
            angular = isinstance(self.settings, AamSoftmaxConfig)
            with_margin = additive_angular_margin if angular else additive_cosine_margin
            index = labels[:, None]
            cosines = logits.gather(1, index) / self.scale
            logits = logits.scatter(1, index, self.scale * with_margin(cosines, margin))
        return F.cross_entropy(logits, labels, reduction="sum", label_smoothing=self.settings.label_smoothing)


def additive_cosine_margin(cosines: Tensor, margin: Tensor) -> Tensor:
    """cos θ − m: AM-softmax (Wang et al., 2018, "Additive margin softmax", equation 6; CosFace)."""
    return cosines - margin


def additive_angular_margin(cosines: Tensor, margin: Tensor) -> Tensor:
    """cos(θ + m): AAM-softmax (Deng et al., 2019, "ArcFace", equation 3).

    For θ > π − m, where cos(θ + m) would increase again, it is cos θ − m sin m, as in the authors' code.
    """
    sines = (1 - cosines.square()).clamp(min=NEARLY_ZERO).sqrt()
    turned = cosines * margin.cos() - sines * margin.sin()
    return torch.where(cosines > -margin.cos(), turned, cosines - margin * margin.sin())
