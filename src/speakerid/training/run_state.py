"""State of a run: what changes from step to step, besides weights and optimizers."""

from __future__ import annotations

from dataclasses import dataclass, field, fields


@dataclass(frozen=True, kw_only=True)
class RunState:
    """State of a run after `step` steps; a trainer holds it, and its checkpoints have the same fields."""

    step: int = 0
    """Steps done."""
    validated: int = 0
    """Steps done at the last validation."""
    accuracy: float | None = None
    """Accuracy of the last validation."""
    best_accuracy: float | None = None
    """Accuracy of the best validation so far."""
    best_loss: float | None = None
    """Loss of the best validation so far; ties in accuracy are broken by loss."""
    rollbacks: int = 0
    """Number of rollbacks so far."""
    precision: str | None = None
    """Arithmetic of the last steps, with `auto` resolved; None in checkpoints of former versions."""
    progress: dict[str, float] = field(default_factory=dict)
    """Sums since the last line of the log, and the state of `Health`, when the state was saved."""

    @property
    def state(self) -> RunState:
        """The state alone, of a checkpoint."""
        return RunState(**{one.name: getattr(self, one.name) for one in fields(RunState)})
