"""Learning rate schedule."""

import math


def warmup_half_cosine(step: int, warmup_steps: int, total_steps: int) -> float:
    """Factor on the learning rate: linear warm-up, then half a cosine down to zero.

    The schedule of HW4's sample code (`get_cosine_schedule_with_warmup` of Hugging Face), except that the first step
    has a rate above 0 and so is not wasted.

    Args:
        step: counted from 0.
        warmup_steps: the last of them has factor 1.
        total_steps: steps of the run.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = (step - warmup_steps) / (total_steps - warmup_steps)
    return (1 + math.cos(math.pi * progress)) / 2
