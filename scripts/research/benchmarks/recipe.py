"""Process that trains a config once and tests it: `python -m benchmarks.recipe JOB`.

Its version of `speakerid` is set by PYTHONPATH. JOB is a `Job` as JSON; the last line of stdout is an answer as JSON.

Shapes: N test utterances.
"""

import json
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

import speakerid.training.run
from speakerid.config import Config, load_config
from speakerid.corpus.check import open_corpus
from speakerid.training.checkpoint import Checkpoint
from speakerid.training.run import train
from speakerid.training.trainer import Trainer

from .names import SpeakerClassifier, UserError, predict

CONFIGS = Path(speakerid.__file__).parents[2] / "configs"


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
        config: name of a file in configs/.
        root: folder of the corpus.
        steps: number of training steps.
        overrides: overrides of its settings. The warm-up is that of the config, as a share of all steps.
        if_known: overrides that are left out if this version has no such setting.
        settings: overrides that come after the warm-up's.
    """

    config: str
    root: str
    steps: int
    overrides: list[str]
    if_known: list[str]
    settings: list[str]


def run(job: Job) -> dict[str, Any]:
    """Train with one thread, and test the checkpoint that validation chose.

    Returns:
        `seconds`, processor time of training alone: batches, steps, moving average, and the refit of the classifier;
        and `predicted`, (N,) classes of the whole test utterances.
    """
    torch.set_num_threads(1)
    config = settings_of(job)
    seconds = 0.0

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            nonlocal seconds
            began = time.process_time()
            answer = function(*arguments)
            seconds += time.process_time() - began
            return answer

        return call

    with ExitStack() as patches:
        for owner, name in ((Trainer, "_train_step"), (speakerid.training.run, "refit_classifier")):
            if hasattr(owner, name):  # earlier revisions do not refit
                patches.enter_context(patch.object(owner, name, timed(getattr(owner, name))))
        result = train(config, style="quiet")
    if result.stopped_by:
        raise KeyboardInterrupt
    corpus, test = open_corpus(Path(job.root), "test")
    model = SpeakerClassifier(config.model, corpus.features.n_mels, len(corpus.speakers), corpus.extra_classes)
    checkpoint = Checkpoint.load(result.run.best)
    model.load_state_dict(checkpoint.model if checkpoint.average is None else checkpoint.average)
    scores = predict([model], test, range(len(test)), config.data.frames_per_batch)
    return {"seconds": seconds, "predicted": scores.argmax(-1).tolist()}


def settings_of(job: Job) -> Config:
    """Settings of a job for this version."""
    path = CONFIGS / f"{job.config}.yaml"
    own = load_config(path).train
    overrides = [*(override for override in job.if_known if _is_known(override)), *job.overrides]
    warm_up = f"train.warmup_steps={round(own.warmup_steps / own.total_steps * job.steps)}"
    return load_config(path, [*overrides, warm_up, *job.settings])


def _is_known(override: str) -> bool:
    section, setting = override.partition("=")[0].split(".")
    settings: Any = Config.model_fields[section].annotation
    return setting in settings.model_fields


def main() -> int:
    try:
        answer = run(Job(**json.loads(sys.argv[1])))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
