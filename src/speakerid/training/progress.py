"""The course's progress lines."""

from typing import Any

from tqdm import tqdm


def train_bar(total: int, done: int) -> "tqdm[Any]":
    """Steps up to the next validation; its postfix is accuracy, loss and the step of the run."""
    return tqdm(total=total, initial=done, desc="Train", unit=" step", ncols=0)


def valid_bar(total: int) -> "tqdm[Any]":
    """Utterances of one validation; its postfix is accuracy and loss so far."""
    return tqdm(total=total, desc="Valid", unit=" uttr", ncols=0)
