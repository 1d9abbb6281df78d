"""Parser of command lines, arguments shared by several commands, and types that check values."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, TypeVar

from speakerid.base.errors import UserError
from speakerid.base.printing import visible
from speakerid.recognition import FALSE_ACCEPTS

if TYPE_CHECKING:
    from speakerid.training.batches import Crops

    _Arguments: TypeAlias = argparse.ArgumentParser | argparse._ArgumentGroup


class Parser(argparse.ArgumentParser):
    """Argument parser with one-line messages in printable characters, which suggest the option that was meant."""

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> argparse.Namespace:  # type: ignore[override]
        """Parse all arguments; positional ones may be before and after options.

        Do not use it for a parser with subcommands, whose parsers read the rest of the line.
        """
        options, extras = self.parse_known_intermixed_args(args, namespace)
        if extras:
            self.error(f"unrecognized arguments: {' '.join(extras)}{self._nearest(extras)}")
        return options

    def error(self, message: str) -> NoReturn:
        super().error(visible(message))

    def _nearest(self, extras: Sequence[str]) -> str:
        known = [option for action in self._actions for option in action.option_strings]
        unknown = [extra.partition("=")[0] for extra in extras if extra.startswith("-")]
        return did_you_mean(unknown[0], known) if unknown else ""


def did_you_mean(found: str, known: Sequence[str]) -> str:
    """`; did you mean …?` with the closest known word; empty if none is close."""
    near = difflib.get_close_matches(found, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


_Number = TypeVar("_Number", int, float)


def checked(
    convert: Callable[[str], _Number], fits: Callable[[_Number], bool], expected: str
) -> Callable[[str], _Number]:
    """Type of an option: converts text to a number that fits; `expected` describes such numbers for messages."""

    def parse(text: str) -> _Number:
        with suppress(ValueError):
            if fits(value := convert(text)):
                return value
        raise argparse.ArgumentTypeError(f"found {text!r}, expected {expected}")

    return parse


positive = checked(int, lambda value: value >= 1, "a whole number of at least 1")
fraction = checked(float, lambda value: 0 <= value < 1, "a share from 0 to below 1")
seconds = checked(float, lambda value: 1 <= value <= 3600, "seconds from 1 to 3600")
rate = checked(float, lambda value: 0.001 <= value <= 0.5, "a share from 0.001 to 0.5")
"""The range that thresholds are fitted for."""


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


def add_false_accepts(parser: _Arguments, of: str = "strangers who may be given a name") -> None:
    """Add the option for the rate of false accepts, which determines the threshold."""
    parser.add_argument(
        "--false-accepts", type=rate, default=FALSE_ACCEPTS, metavar="R",
        help=f"share of {of} (default {FALSE_ACCEPTS:g})",
    )  # fmt: skip
