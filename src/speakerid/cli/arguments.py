"""Arguments shared by several commands, and types that check values."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, TypeAlias

from speakerid.base.errors import UserError

if TYPE_CHECKING:
    from speakerid.training.batches import Crops

    _Arguments: TypeAlias = argparse.ArgumentParser | argparse._ArgumentGroup


def add_device(parser: _Arguments) -> None:
    """Add the options for the device and the batch size of inference."""
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, …; auto takes the first GPU (default)")
    parser.add_argument(
        "--frames-per-batch", type=positive, metavar="N",
        help="maximum number of padded frames per batch; smaller takes less memory, with the same results",
    )  # fmt: skip


def add_crops(parser: _Arguments) -> None:
    """Add the options for test-time augmentation."""
    parser.add_argument(
        "--crops", type=positive, metavar="N",
        help="average the log-probabilities of each whole utterance and, if it is longer than a crop, of N evenly "
        "spaced crops (default: no crops)",
    )  # fmt: skip
    parser.add_argument("--crop-frames", type=positive, metavar="T", help="number of frames per crop")


def chosen_crops(options: argparse.Namespace) -> Crops | None:
    """Value of the options of `add_crops`; None if they are not given.

    Raises:
        UserError: only one of the two options is given.
    """
    if options.crops is None and options.crop_frames is None:
        return None
    if options.crops is None or options.crop_frames is None:
        given, missing = ("--crop-frames", "--crops") if options.crops is None else ("--crops", "--crop-frames")
        raise UserError(f"{given}: found without {missing}; expected both, such as --crops 5 --crop-frames 300")
    from speakerid.training.batches import Crops

    return Crops(options.crops, options.crop_frames)


def add_false_accepts(parser: argparse.ArgumentParser, of: str = "strangers who may be given a name") -> None:
    """Add the option for the rate of false accepts, which determines the threshold."""
    parser.add_argument(
        "--false-accepts", type=rate, default=0.01, metavar="R", help=f"share of {of} (default 0.01)"
    )  # fmt: skip


def positive(text: str) -> int:
    """Parse an integer of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not a positive number")
    return value


def fraction(text: str) -> float:
    """Parse a number from 0 to below 1."""
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not a share between 0 and 1")
    return value


def rate(text: str) -> float:
    """Parse a rate from 0.001 to 0.5, the range that thresholds are fitted for."""
    value = float(text)
    if not 0.001 <= value <= 0.5:
        raise argparse.ArgumentTypeError(f"{value:g} is not a share from 0.001 to 0.5")
    return value
