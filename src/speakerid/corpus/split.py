"""Which labelled utterances train and which validate."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from speakerid.corpus.records import Utterance
from speakerid.errors import UserError


@dataclass(frozen=True)
class Split:
    """Places in `Corpus.labelled`, ascending, and how they were found."""

    train: list[int]
    valid: list[int]
    how: str


def split(
    utterances: Sequence[Utterance],
    by: Literal["auto", "session", "order", "random"],
    valid_fraction: float,
    seed: int,
) -> Split:
    """Part each speaker's utterances, in every case with at least one on either side.

    Args:
        utterances: labelled, at least two a speaker.
        by: `session` gives a speaker's last sessions to validation, whole; `order` the last utterances;
            `random` any; `auto` is `session` where all speakers have two sessions or more, else `order`.
        valid_fraction: the share of a speaker's utterances that validation takes, as nearly as whole utterances or
            sessions allow.
        seed: of the random split.

    Raises:
        UserError: `session` is asked for, and a speaker has not two known sessions.
    """
    speakers: dict[str, list[int]] = {}
    for index, utterance in enumerate(utterances):
        speakers.setdefault(str(utterance.speaker), []).append(index)
    if by == "auto":
        by = "session" if _single_session(utterances, speakers) is None else "order"
    elif by == "session" and (speaker := _single_session(utterances, speakers)) is not None:
        raise UserError(f"data.split: speaker {speaker} has not two known sessions; use data.split=order")
    rng = np.random.default_rng([seed, len(utterances)])
    valid: list[int] = []
    for indices in speakers.values():
        if by == "random":
            indices = [indices[place] for place in rng.permutation(len(indices))]
        count = min(len(indices) - 1, max(1, round(valid_fraction * len(indices))))
        valid += _last_sessions(utterances, indices, count) if by == "session" else indices[-count:]
    held_out = set(valid)
    return Split([i for i in range(len(utterances)) if i not in held_out], sorted(valid), _HOW[by])


_HOW = {
    "session": "whole sessions, so no recording occasion is on both sides",
    "order": "the last utterances of each speaker; if they share a session with the others, accuracy is flattered",
    "random": "at random; sessions are on both sides, so accuracy is flattered",
}


def _single_session(utterances: Sequence[Utterance], speakers: dict[str, list[int]]) -> str | None:
    """The first speaker without two sessions, or with utterances of unknown session."""
    for speaker, indices in speakers.items():
        sessions = {utterances[index].session for index in indices}
        if None in sessions or len(sessions) < 2:
            return speaker
    return None


def _last_sessions(utterances: Sequence[Utterance], indices: list[int], count: int) -> list[int]:
    sessions: dict[str | None, list[int]] = {}
    for index in indices:
        sessions.setdefault(utterances[index].session, []).append(index)
    held_out: list[int] = []
    for members in list(sessions.values())[:0:-1]:
        if held_out and len(held_out) + math.ceil(len(members) / 2) > count:
            break
        held_out += members
    return held_out
