"""Arguments that several commands have, and what their values must be."""

import argparse


def add_device(parser: argparse.ArgumentParser) -> None:
    """Where a model computes, and in how large batches."""
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, …; auto takes the first GPU (default)")
    parser.add_argument(
        "--frames-per-batch", type=positive, metavar="N",
        help="bound on the padded frames of a batch: less memory when smaller, the same answers",
    )  # fmt: skip


def positive(text: str) -> int:
    """A whole number from 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not a positive number")
    return value


def fraction(text: str) -> float:
    """A share from 0 up to, but not including, 1."""
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not a share between 0 and 1")
    return value
