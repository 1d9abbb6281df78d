"""Augmentation of training crops, and the random numbers of a step.

Shapes: B batch, T frames, M mel bands.
"""

import math

import numpy as np
import torch
from torch import nn

from speakerid.base.distributed import rank
from speakerid.config import FeatureConfig, TrainConfig
from speakerid.nn.channel_augment import ChannelAugment
from speakerid.nn.spec_augment import SpecAugment


class Augmentation(nn.Sequential):
    """Channel augmentation and SpecAugment of (B, T, M) features, on their device."""

    def __init__(self, settings: TrainConfig, features: FeatureConfig) -> None:
        super().__init__(
            ChannelAugment(
                **settings.channel_augment.model_dump(),
                floor=math.log(features.floor),
                frames_per_second=features.frames_per_second,
            ),
            SpecAugment(**settings.spec_augment.model_dump()),
        )


def seed_generators(seed: int, step: int, device: torch.device) -> None:
    """Seed PyTorch's generators of the CPU and of a device with the seed of a run, a step and the rank."""
    sequence = np.random.SeedSequence([seed, step, rank()])
    number = int(sequence.generate_state(1, np.uint64)[0])
    # Not torch.manual_seed, which seeds the generators of all devices.
    torch.default_generator.manual_seed(number)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(number)
