"""Find a batch size: the largest that fits into memory, and the smallest that is nearly as fast as any."""

import itertools
import time
from dataclasses import dataclass

import torch

from speakerid.base.distributed import is_shared
from speakerid.base.errors import UserError
from speakerid.base.progress import Progress
from speakerid.config import Config
from speakerid.nn.classifier import SpeakerClassifier
from speakerid.training.batches import Batches
from speakerid.training.cuda_graph import WARM_UP
from speakerid.training.model_size import check_fits
from speakerid.training.precision import parameter_dtype
from speakerid.training.run import numerics
from speakerid.training.step import TrainingStep, is_out_of_memory
from speakerid.training.training_data import open_training_data, training_batches

SMALLEST = 8
GAIN = 1.05
"""Smallest factor by which doubling the batch has to speed up training for larger sizes to be tried."""
SECONDS = 1.0
"""Shortest time to measure each size for."""


@dataclass(frozen=True)
class Trial:
    """Result of one batch size."""

    batch_size: int
    examples_per_second: float
    memory: int
    """Peak GPU memory in bytes; 0 on a CPU."""

    def __str__(self) -> str:
        memory = f", {self.memory / 2**30:.2f} GiB" if self.memory else ""
        return f"train.batch_size={self.batch_size}: {self.examples_per_second:.0f} examples/s{memory}"


def find_batch_size(config: Config, progress: Progress) -> tuple[list[Trial], int | None]:
    """Train a few steps with 8, 16, 32, … examples, until memory runs out or larger batches are not faster.

    Args:
        config: settings of the run; its batch size is ignored, and nothing is written to its folder.
        progress: reports each size.

    Returns:
        The sizes that fit, and the first that does not, if it was reached.

    Raises:
        UserError: a bad corpus, several processes, or not even the smallest size fits.
    """
    if is_shared():
        raise UserError("--find-batch-size: runs in one process; multiply its result by the number of processes")
    with numerics(config) as device:
        return _find(config, progress, device)


def _find(config: Config, progress: Progress, device: torch.device) -> tuple[list[Trial], int | None]:
    data, settings = open_training_data(config, progress), config.train
    corpus = data.corpus
    check_fits(config.model_copy(update={"train": settings.model_copy(update={"batch_size": 1})}), corpus, device)
    trials: list[Trial] = []
    for size in (SMALLEST * settings.accumulate * 2**power for power in itertools.count()):
        largest = {"batch_size": size, "crop_frames": settings.longest_crop_frames or settings.crop_frames}
        tried = config.model_copy(update={"train": settings.model_copy(update=largest)})
        try:
            model = SpeakerClassifier(
                config.model, corpus.features.n_mels, len(corpus.speakers), corpus.extra_classes
            ).to(device, parameter_dtype(settings.precision))
            batches = training_batches(tried, data, device)
            learn = TrainingStep(model, tried.train, say=progress.warn, scale=config.model.logit_scale)
            if settings.precision == "auto" and not trials:
                progress.say(str(learn.precision))
            trials.append(_try(learn, batches, size))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if not trials:
                raise UserError(f"memory runs out even at train.batch_size={size}; raise train.accumulate") from error
            return trials, size
        progress.say(str(trials[-1]))
        if len(trials) > 1 and trials[-1].examples_per_second < GAIN * trials[-2].examples_per_second:
            return trials, None
    raise AssertionError("unreachable")


def recommended(trials: list[Trial]) -> Trial:
    """Smallest size within 5 % of the fastest."""
    fastest = max(trial.examples_per_second for trial in trials)
    return next(trial for trial in trials if GAIN * trial.examples_per_second >= fastest)


def _try(learn: TrainingStep, batches: Batches, size: int) -> Trial:
    on_gpu = learn.device.type == "cuda"
    for step in range(WARM_UP + 1):
        learn(*batches[step], step, 0.0)
    learn.local_sums()  # waits for the device
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(learn.device)
    began, steps = time.perf_counter(), 0
    while (seconds := time.perf_counter() - began) < SECONDS or steps < 2:
        learn(*batches[steps], steps, 0.0)
        learn.local_sums()
        steps += 1
    memory = torch.cuda.max_memory_allocated(learn.device) if on_gpu else 0
    return Trial(size, steps * size / seconds, memory)
