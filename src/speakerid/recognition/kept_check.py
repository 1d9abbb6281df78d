"""Check the kept prints and the corrections of a bundle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speakerid.base.errors import UserError
from speakerid.recognition.bundle_file import Content

_LONGEST_TEXT = 2**15
"""Characters of a path or a name."""
_LATEST = 1e9
"""Latest time in a recording, in seconds."""


def check_kept(content: Content, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Refuse kept prints and corrections that the package cannot have written; shapes have been checked.

    Raises:
        UserError: names the field, what was found and what was expected.
    """
    speakers = len(content.speakers)
    numbers = _check_corrections(content)
    if "print_rows" in arrays:
        owners, _, start, end, seconds, added, removed = arrays["print_rows"].T
        _all("print_rows", (owners >= 0) & (owners < speakers), f"an index of a speaker outside 0 to {speakers - 1}")
        limit = int(_LATEST * 1e6)
        times = (start >= 0) & (start <= limit) & ((end == -1) | (end > start) & (end <= limit))
        _all("print_rows", times & (seconds >= 0) & (seconds <= limit), "times that no turn has")
        _all("print_rows", np.isin(added, numbers) & np.isin(removed, numbers), "the number of no correction")
    if "base_speakers" in arrays:
        owners, clips = arrays["base_speakers"], arrays["base_clips"]
        _all("base_speakers", (owners >= 0) & (owners < speakers), f"an index outside 0 to {speakers - 1}")
        if len(set(owners.tolist())) < len(owners):
            raise UserError("tensor 'base_speakers': found a speaker twice, expected distinct speakers")
        _all("base_clips", (clips >= 0).all(1) & (clips.sum(1) >= 1), "a number of clips below 0, or no clips")


def _check_corrections(content: Content) -> list[int]:
    """Numbers that prints may refer to, 0 among them."""
    names, numbers = {speaker.name for speaker in content.speakers}, [0]
    for one in content.corrections:
        if one.number <= numbers[-1]:
            raise UserError(f"corrections: found number {one.number} after {numbers[-1]}, expected ascending numbers")
        numbers.append(one.number)
        if one.name not in names:
            raise UserError(f"corrections: found {one.name!r:.60}, which is not among the speakers")
        if not 0 <= one.start < one.end <= _LATEST or not math.isfinite(one.end):
            raise UserError(f"corrections: found {one.start:g} to {one.end:g} s, expected 0 <= start < end")
        if not -(2**63) <= one.recording < 2**63 or one.number >= 2**62:
            raise UserError("corrections: found a number of more than 64 bits")
        if max(len(one.source), len(one.former or "")) > _LONGEST_TEXT:
            raise UserError(f"corrections: found a text of more than {_LONGEST_TEXT} characters")
    return numbers


def _all(name: str, valid: NDArray[np.bool_], found: str) -> None:
    if not valid.all():
        raise UserError(f"tensor {name!r}: found {found}")
