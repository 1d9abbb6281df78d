"""Find the number of steps a model can take in a given time, so that its whole schedule fits."""

import json
from pathlib import Path
from time import process_time

import torch
from torch import Tensor

from speakerid import Config
from speakerid.base.files import atomic_file
from speakerid.base.progress import Progress
from speakerid.training.batches import Batches
from speakerid.training.run import MakeModel, build_trainer
from speakerid.training.training_data import open_training_data

MANY = 1_000_000
"""Number of steps of a run that is only timed."""
WARM_UP = 3
"""Steps before the clock starts."""
FEWEST, SHORTEST = 8, 3.0
"""Smallest number of steps and seconds that are timed."""
FEWEST_STEPS = 10
"""Smallest number of steps of a run, however slow the model."""


def steps_within(seconds: float, config: Config, make_model: MakeModel) -> int:
    """Number of training steps that take about a given time here, not counting validation and checkpoints.

    Args:
        seconds: the budget.
        config: settings of the run, with far more steps than are timed.
        make_model: see `speakerid.training.run.train`.
    """
    return max(FEWEST_STEPS, int(seconds / seconds_a_step(config, make_model)))


def kept_steps(folder: Path, seconds: float, config: Config, make_model: MakeModel) -> int:
    """`steps_within` of the first call; stored in the folder of the run, since a resumed run must have the same."""
    kept = folder / "steps.json"
    if not kept.exists():
        with atomic_file(kept) as partial:
            partial.write_text(json.dumps(steps_within(seconds, config, make_model)))
    return json.loads(kept.read_text())


def seconds_a_step(config: Config, make_model: MakeModel) -> float:
    """Processor time per step, over the first steps of a run that is discarded.

    Other work on the machine does not affect it.
    """
    silent = Progress("silent")
    data = open_training_data(config, silent)
    trainer = build_trainer(config, data, None, make_model, torch.device("cpu"), silent)
    timed = trainer.batches = _Timed(trainer.batches)
    try:
        trainer.fit()
    except _Enough:
        return timed.seconds_a_step
    raise AssertionError("the run was over before its steps were timed")


class _Enough(Exception):
    """Stops a run from inside."""


class _Timed:
    """Batches that stop the run when enough steps have been timed."""

    def __init__(self, batches: Batches) -> None:
        self._batches = batches
        self._times: list[float] = []

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        self._times.append(process_time())
        timed = self._times[WARM_UP:]
        if len(timed) > FEWEST and timed[-1] - timed[0] >= SHORTEST:
            raise _Enough
        return self._batches[step]

    @property
    def seconds_a_step(self) -> float:
        timed = self._times[WARM_UP:]
        return (timed[-1] - timed[0]) / (len(timed) - 1)
