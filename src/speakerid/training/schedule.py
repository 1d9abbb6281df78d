"""The learning rate of step k."""

import math


def warmup_half_cosine(step: int, warmup_steps: int, total_steps: int) -> float:
    """Factor on the learning rate: a straight line up, then half a cosine down to zero.

    The course's schedule (Hugging Face's `get_cosine_schedule_with_warmup`), but for its first step, which there
    has rate 0 and learns nothing.

    Args:
        step: counted from 0.
        warmup_steps: the last of them has factor 1.
        total_steps: steps of the run.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = (step - warmup_steps) / (total_steps - warmup_steps)
    return (1 + math.cos(math.pi * progress)) / 2
