"""Whether a run still learns: losses that are no numbers, and models that have forgotten everything."""

import math
from dataclasses import dataclass

WINDOW = 1_000
"""Examples, at least, whose mean loss is looked at: a few batches say nothing."""
LEARNED, FORGOTTEN = 0.8, 0.98
"""Shares of ln(classes), the loss of guessing: a run that was below the one and is above the other has collapsed."""


class Diverged(Exception):
    """The run is of no use from here on; the message says why."""


class Collapsed(Diverged):
    """Every loss is finite, but the model only guesses; the newest checkpoints may be as bad."""


@dataclass
class Health:
    """Watches the training loss.

    The collapse the report describes ("accuracy falling to zero") leaves every loss finite: the classifier answers
    the same for everybody, and the loss is back at that of guessing.

    Attributes:
        classes: of the classifier.
        lowest: mean loss of the best window so far.
        loss: summed over the present window.
        count: examples of the present window.
    """

    classes: int
    lowest: float = math.inf
    loss: float = 0.0
    count: float = 0.0

    def check(self, sums: dict[str, float], step: int) -> None:
        """Look at the sums of cross-entropies (without margins, as of guessing) and examples since the last look.

        Raises:
            Collapsed: the loss is back at that of guessing.
        """
        self.loss += sums["cross_entropy"]
        self.count += sums["count"]
        if self.count < WINDOW:
            return
        mean, guessing = self.loss / self.count, math.log(self.classes)
        if self.lowest <= LEARNED * guessing < FORGOTTEN * guessing <= mean:  # of one class nothing is forgotten
            raise Collapsed(
                f"step {step}: the training loss is {mean:.2f}, as by guessing (ln {self.classes} = {guessing:.2f}), "
                f"after it had been {self.lowest:.2f}: the model has collapsed"
            )
        self.lowest = min(self.lowest, mean)
        self.loss = self.count = 0.0

    def state(self) -> dict[str, float]:
        return {"lowest": self.lowest, "window_loss": self.loss, "window_count": self.count}

    def restore(self, state: dict[str, float]) -> None:
        self.lowest, self.loss, self.count = state["lowest"], state["window_loss"], state["window_count"]
