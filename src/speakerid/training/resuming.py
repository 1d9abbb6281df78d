"""Check that a checkpoint belongs to the run to resume."""

from speakerid.base.errors import UserError
from speakerid.training.checkpoint import Checkpoint
from speakerid.training.trainer import Trainer

_MAY_CHANGE = (
    "run_dir", "device", "data.root", "data.packed", "data.frames_per_batch", "train.compile", "train.graph",
    "train.keep_last", "train.keep_best", "train.rollbacks",
)  # fmt: skip
"""Settings that do not affect the result of a run."""


def check_same_run(checkpoint: Checkpoint, trainer: Trainer) -> None:
    """Check that a run to resume has the settings and the corpus of its checkpoint.

    Args:
        checkpoint: newest checkpoint of the run.
        trainer: trainer of the run, at its first step.

    Raises:
        UserError: something has changed; the message says what, and how to start another run with these weights.
    """
    config = trainer.config
    changed = [
        f"{name} is {now}, was {before}"
        for name, (now, before) in config.differences(checkpoint.config).items()
        if name not in _MAY_CHANGE
    ]
    if checkpoint.speakers != trainer.speakers:
        changed.append(
            f"the {len(trainer.speakers)} speakers of the corpus are not the run's {len(checkpoint.speakers)}"
        )
    if checkpoint.features != trainer.features:
        changed.append("the features of the corpus are not the run's")
    weights = config.run_dir / "best.pt"
    begin = f"start another run_dir with init_from={weights if weights.exists() else weights.with_name('last.pt')}"
    if changed:
        raise UserError(
            f"{config.run_dir}: cannot be resumed with other settings: {'; '.join(changed)}; restore the settings, "
            f"or {begin} to start from these weights if the model is the same"
        )
    if checkpoint.utterances and (change := trainer.utterances.changes(checkpoint.utterances)):
        raise UserError(
            f"{config.run_dir}: cannot be resumed, since the corpus {config.data.root} has changed ({change}); "
            f"restore the corpus, or {begin} to train these weights on the new one"
        )
