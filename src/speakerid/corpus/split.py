"""Split the labelled utterances into training and held-out utterances."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from speakerid.base.errors import UserError
from speakerid.corpus.utterances import UNKNOWN, Utterances

By = Literal["auto", "session", "order", "random"]


@dataclass(frozen=True)
class Split:
    """Rows of training and held-out utterances, ascending."""

    train: list[int]
    valid: list[int]
    how: str
    """How the held-out utterances were chosen, for messages."""


def split(utterances: Utterances, by: By, valid_fraction: float, seed: int, keep: int = 1) -> Split:
    """Split each speaker's utterances into training and validation.

    Augmented copies are never held out. They are used for training if their original is, and left out otherwise.
    Company is always used for training.

    Args:
        utterances: labelled utterances.
        by: `session` holds out each speaker's last sessions, `order` the last utterances, and `random` any. `auto` is
            `session` for speakers with at least two known sessions, and `order` for the others.
        valid_fraction: share of a speaker's utterances to hold out, rounded to whole utterances or sessions; at least
            one utterance.
        seed: seed of the random split.
        keep: number of utterances per speaker that are never held out; nothing is held out from speakers with no more.

    Raises:
        UserError: `by` is `session`, and a speaker does not have two known sessions.
    """
    rows = np.arange(len(utterances))
    originals = utterances.held_out_from
    by_speaker = _by_speaker(utterances, originals)
    sessions = utterances.sessions.tolist()
    rng = np.random.default_rng([seed, len(originals)])
    held_out = np.zeros(len(utterances), bool)
    whole = ordered = 0
    for members in by_speaker:
        count = min(len(members) - keep, max(1, round(valid_fraction * len(members))))
        if count < 1:
            continue
        known = _two_sessions([sessions[row] for row in members])
        if by == "session" and not known:
            raise _not_two_sessions(utterances, members)
        if by == "random":
            held_out[rng.permutation(members)[:count]] = True
        elif by != "order" and known:
            held_out[_last_sessions(sessions, members, count, keep)] = True
            whole += 1
        else:
            held_out[members[-count:]] = True
            ordered += 1
    train = rows[~held_out[utterances.origins]]
    return Split(train.tolist(), rows[held_out].tolist(), _how(by, whole, ordered))


def folds(utterances: Utterances, count: int, by: By = "auto", seed: int = 0) -> list[Split]:
    """Split for cross-validation: an utterance is held out in at most one fold, and used for training in the others.

    There are fewer folds if there are fewer sessions, and none if fewer than two would hold out anything.

    Sessions are held out whole. Sessions of the same name are held out together for all speakers, because they may be
    the same occasion. A speaker without two known sessions is held out in runs of consecutive utterances. Every speaker
    keeps training utterances in every fold: a single utterance is never held out.

    Args:
        utterances: labelled utterances.
        count: maximum number of folds, at least 2.
        by: see `split`; `random` distributes single utterances.
        seed: seed of `random`.

    Raises:
        UserError: `by` is `session`, and a speaker does not have two known sessions.
    """
    assert count >= 2, "one fold would train on nothing"
    rows = np.arange(len(utterances))
    by_speaker = _by_speaker(utterances, utterances.held_out_from)
    rng = np.random.default_rng([seed, len(rows)])
    groups: dict[tuple[object, ...], dict[int, list[int]]] = {}
    whole = 0
    for speaker, members in enumerate(by_speaker):
        known = _two_sessions(utterances.sessions[members].tolist())
        if by == "session" and not known:
            raise _not_two_sessions(utterances, members)
        by_session = known and by in ("auto", "session")
        whole += by_session
        if by == "random":
            members = rng.permutation(members).tolist()
        for index, row in enumerate(members):
            session = int(utterances.sessions[row])
            key = (utterances.session_names[session],) if by_session else (speaker, index * count // len(members))
            groups.setdefault(key, {}).setdefault(speaker, []).append(row)
    held_out = _assign_folds(list(groups.values()), [len(members) for members in by_speaker], count, len(rows))
    held_out = held_out[held_out.any(1)]
    if len(held_out) < 2:
        return []
    how = f"{len(held_out)} folds; {_how(by, whole, len(by_speaker) - whole)}"
    return [Split(rows[~mask[utterances.origins]].tolist(), rows[mask].tolist(), how) for mask in held_out]


def _assign_folds(
    groups: Sequence[dict[int, list[int]]], totals: Sequence[int], count: int, n_rows: int
) -> NDArray[np.bool_]:
    """Assign groups to folds, largest first, each to the fold that holds out the fewest utterances of its speakers.

    Args:
        groups: rows by speaker, to be held out together.
        totals: number of utterances of each speaker.
        count: number of folds.
        n_rows: number of utterances of the corpus.

    Returns:
        (count, n_rows), true for held-out utterances.
    """
    held_out = np.zeros((count, n_rows), bool)
    taken = np.zeros((count, len(totals)), np.int64)
    for group in sorted(groups, key=lambda group: -sum(map(len, group.values()))):
        speakers = list(group)
        after = taken[:, speakers] + [len(rows) for rows in group.values()]
        emptied = after == np.asarray(totals)[speakers]
        costs = zip(emptied.sum(1).tolist(), after.sum(1).tolist(), taken.sum(1).tolist(), strict=True)
        fold, _ = min(enumerate(costs), key=lambda numbered: numbered[1])
        for index, (speaker, rows) in enumerate(group.items()):
            if not emptied[fold, index]:
                held_out[fold, rows] = True
                taken[fold, speaker] += len(rows)
    return held_out


def _not_two_sessions(utterances: Utterances, members: Sequence[int]) -> UserError:
    name = utterances[members[0]].speaker
    return UserError(f"data.split: speaker {name} does not have two known sessions; use data.split=auto or order")


def _how(by: By, whole: int, ordered: int) -> str:
    order = "the last utterances of each speaker; accuracy is inflated if they share a session with the others"
    if by == "random":
        return "at random; sessions are on both sides, so accuracy is inflated"
    if not whole:
        return order
    if not ordered:
        return "whole sessions, so no recording occasion is on both sides"
    return f"whole sessions of {whole} speakers; the last utterances, which inflate accuracy, of {ordered} others"


def _by_speaker(utterances: Utterances, rows: np.ndarray) -> list[list[int]]:
    """Rows of each speaker, ascending; speakers in order of their first row."""
    speakers = utterances.speakers[rows]
    order = np.argsort(speakers, kind="stable")
    edges = np.flatnonzero(np.diff(speakers[order])) + 1
    members = [group.tolist() for group in np.split(rows[order], edges) if len(group)]
    return sorted(members, key=lambda group: group[0])


def _two_sessions(sessions: Sequence[int]) -> bool:
    return UNKNOWN not in sessions and len(set(sessions)) > 1


def _last_sessions(sessions: Sequence[int], members: Sequence[int], count: int, keep: int) -> list[int]:
    by_session: dict[int, list[int]] = {}
    for row in members:
        by_session.setdefault(sessions[row], []).append(row)
    held_out: list[int] = []
    for rows in list(by_session.values())[:0:-1]:
        if len(held_out) + len(rows) > len(members) - keep:
            break
        if held_out and len(held_out) + math.ceil(len(rows) / 2) > count:
            break
        held_out += rows
    return held_out
