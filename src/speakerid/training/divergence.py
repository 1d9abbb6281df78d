"""Detection of runs that diverge (loss not finite) or collapse (the model only guesses)."""

import math
from dataclasses import dataclass

WINDOW = 1_000
"""Smallest number of examples to average the loss over; a few batches are too noisy."""
LEARNED, FORGOTTEN = 0.8, 0.98
"""Shares of ln(classes), the loss of guessing: a run that was below the first and is above the second has collapsed."""


class Diverged(Exception):
    """The run cannot continue from here; the message says why."""


class Collapsed(Diverged):
    """Every loss is finite, but the model only guesses; the newest checkpoints may be as bad."""


@dataclass
class Health:
    """Monitor of the training loss.

    In the collapse that the lab report describes ("accuracy falling to zero"), every loss is finite: the classifier
    gives the same answer for all inputs, and the loss is that of guessing again.

    Attributes:
        classes: number of classes.
        lowest: lowest mean loss of a window so far.
        loss: sum over the current window.
        count: number of examples in the current window.
    """

    classes: int
    lowest: float = math.inf
    loss: float = 0.0
    count: float = 0.0

    def check(self, sums: dict[str, float], step: int) -> None:
        """Check the sums of cross-entropies and examples since the last check.

        The cross-entropies are without margins, to be comparable with the loss of guessing.

        Raises:
            Collapsed: the loss is back at that of guessing.
        """
        self.loss += sums["cross_entropy"]
        self.count += sums["count"]
        if self.count < WINDOW:
            return
        mean, guessing = self.loss / self.count, math.log(self.classes)
        if self.lowest <= LEARNED * guessing < FORGOTTEN * guessing <= mean:  # never with a single class
            raise Collapsed(
                f"step {step}: the training loss is {mean:.2f}, that of guessing (ln {self.classes} = {guessing:.2f}), "
                f"after {self.lowest:.2f} before: the model has collapsed"
            )
        self.lowest = min(self.lowest, mean)
        self.loss = self.count = 0.0

    def state(self) -> dict[str, float]:
        return {"lowest": self.lowest, "window_loss": self.loss, "window_count": self.count}

    def restore(self, state: dict[str, float]) -> None:
        self.lowest, self.loss, self.count = state["lowest"], state["window_loss"], state["window_count"]
