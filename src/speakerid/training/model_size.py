"""Lower bound on the memory of a training, before anything is allocated."""

import torch

from speakerid.base.distributed import world_size
from speakerid.base.errors import UserError
from speakerid.base.memory import machine_memory
from speakerid.config import Config
from speakerid.corpus.utterances import Corpus
from speakerid.nn.classifier import SpeakerClassifier
from speakerid.nn.summary import unique_parameters
from speakerid.training.precision import choose_precision, parameter_dtype

STATES = 4
"""Copies of the parameters in training with AdamW: weights, gradients and two moments."""


def check_fits(config: Config, corpus: Corpus, device: torch.device) -> None:
    """Check that the model and the batches can fit into memory.

    The estimate is a lower bound: parameters with their optimizer state, and the frames of a batch as features and
    after the prenet. The first step shows whether the rest fits.

    Raises:
        UserError: training cannot fit; the message names the largest part.
    """
    model, settings = config.model, config.train
    try:
        with torch.device("meta"):
            built = SpeakerClassifier(model, corpus.features.n_mels, len(corpus.speakers), corpus.extra_classes)
    except (RuntimeError, MemoryError, OverflowError) as error:  # more elements than 64 bits can count
        raise UserError("model: found a size that cannot be built; lower model.d_model and other widths") from error
    width = parameter_dtype(settings.precision).itemsize
    activation = 2 if choose_precision(settings.precision, device).name == "bfloat16" else width
    parameters = unique_parameters(built)
    crops = settings.batch_size // (world_size() * settings.accumulate)
    frames = crops * (settings.longest_crop_frames or settings.crop_frames)
    parts = {
        f"the model of {parameters:,} parameters (model.d_model={model.d_model} and other widths)": (
            parameters * width * (STATES + bool(settings.ema))
        ),
        f"batches of {frames:,} frames (train.batch_size={settings.batch_size}, "
        f"train.crop_frames={settings.crop_frames})": (
            frames * (corpus.features.n_mels * width + model.d_model * activation)
        ),
    }
    available = machine_memory() if device.type == "cpu" else torch.cuda.mem_get_info(device)[1]
    if sum(parts.values()) > available:
        largest = max(parts, key=lambda name: parts[name])
        raise UserError(
            f"training needs at least {sum(parts.values()) / 2**30:,.1f} GiB of memory, but {device} has "
            f"{available / 2**30:,.1f} GiB; most of it is for {largest}"
        )
