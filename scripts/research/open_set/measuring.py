"""Measure how a bundle treats strangers, and speakers enrolled with few recordings.

Shapes: N utterances, D width of a voice print, S speakers.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speakerid import Bundle, Checkpoint, make_bundle, open_corpus
from speakerid.evaluation.durations import Labelled
from speakerid.recognition import FALSE_ACCEPTS
from speakerid.recognition.calibration_set import CalibrationSet
from speakerid.recognition.profiles import Profiles

FIXED = (0.25, 0.6)
"""Cosines that toolkits ship as thresholds."""
SECONDS = (1.0, 2.0, 4.0)
NEW, CLIPS = 10, 3
"""Number of speakers to enroll, and of recordings of each."""


@dataclass(frozen=True)
class OpenSet:
    """Shares for one draw, duration and threshold."""

    threshold: str
    seconds: float
    draw: int
    false_accepts: float
    """Share of strangers' utterances that are given a name, averaged over strangers."""
    identified: float
    """Share of known speakers' utterances that are given the right name."""


@dataclass(frozen=True)
class Enrollment:
    """Shares of whole utterances whose nearest speaker is the right one."""

    draw: int
    new_speakers: int
    before: float
    """Share of the trained speakers' utterances, before the enrollment."""
    after: float
    """Share of the same utterances, after the enrollment."""
    new: float
    """Share of the new speakers' other utterances."""


@dataclass(frozen=True)
class Measured:
    """Results of one draw."""

    open_set: list[OpenSet]
    enrollment: list[Enrollment]


def measure(checkpoint: Path, draw: int) -> Measured:
    """Measure one draw.

    Args:
        checkpoint: checkpoint trained on a corpus with strangers, see `open_set.draws`.
        draw: number of the draw.
    """
    bundle = make_bundle(checkpoint)
    root = Checkpoint.load(checkpoint).config.data.root
    corpus, tests = open_corpus(root, "test")
    _, others = open_corpus(root, "strangers")
    known = Labelled(tests, range(len(corpus.test)), corpus.test.speakers.tolist())
    strangers = Labelled(others, range(len(corpus.strangers)), corpus.strangers.speakers.tolist())
    halves = [np.unique(corpus.strangers.speakers)[half::2] for half in range(2)]
    rules = {
        "1 % by strangers": [_fitted_on(bundle, half) for half in halves],
        "1 % without strangers": [make_bundle(checkpoint, strangers=False)] * 2,
    }
    rows = list(_open_set(bundle, rules, known, strangers, halves, draw))
    return Measured(rows, [_enrollment(bundle, known, strangers, half, draw) for half in halves])


def _open_set(
    bundle: Bundle,
    rules: Mapping[str, Sequence[Bundle]],
    known: Labelled,
    strangers: Labelled,
    halves: Sequence[NDArray[np.integer]],
    draw: int,
) -> Iterator[OpenSet]:
    embedder = bundle.embedder()
    for seconds in SECONDS:
        frames = round(seconds * bundle.features.frames_per_second)
        mine, theirs = (embedder.embed(part.store, part.indices, frames) for part in (known, strangers))
        indices, scores = bundle.profiles.ranked(mine)
        right = indices[:, 0] == np.asarray(known.labels)
        _, foreign = bundle.profiles.ranked(theirs)
        for name, fitted in rules.items():
            shares = []
            for rule, seen in zip(fitted, halves, strict=True):
                threshold = rule.identification.thresholds.at(seconds, FALSE_ACCEPTS)
                odds, foreign_odds = (rule.identification.log_odds(x, seconds)[:, 0] for x in (scores, foreign))
                shares.append(_shares(odds >= threshold, right, foreign_odds >= threshold, strangers.labels, seen))
            yield OpenSet(name, seconds, draw, *np.mean(shares, 0).tolist())
        cosines, foreign_cosines = (_cosines(bundle.profiles, prints) for prints in (mine, theirs))
        nearest = cosines.argmax(1) == np.asarray(known.labels)
        for cosine in FIXED:
            over, foreign_over = cosines.max(1) >= cosine, foreign_cosines.max(1) >= cosine
            shares = _shares(over, nearest, foreign_over, strangers.labels, [])
            yield OpenSet(f"cosine {cosine:g}", seconds, draw, *shares)


def _fitted_on(bundle: Bundle, speakers: NDArray[np.integer]) -> Bundle:
    """Bundle fitted on these strangers only, without durations that none of them reaches."""

    def only(some: CalibrationSet) -> CalibrationSet:
        keep = np.isin(some.stranger_speakers, speakers)
        return replace(some, strangers=some.strangers[keep], stranger_speakers=some.stranger_speakers[keep])

    evidence = [some for some in map(only, bundle.evidence) if len(some.strangers)]
    return Bundle.fitted(bundle.model, bundle.features, bundle.weights, bundle.profiles, evidence, bundle.card)


def _shares(
    named: NDArray[np.bool_],
    right: NDArray[np.bool_],
    accepted: NDArray[np.bool_],
    strangers: Sequence[int],
    seen: NDArray[np.integer] | Sequence[int],
) -> tuple[float, float]:
    """Share of unseen strangers accepted, and of known speakers identified."""
    labels = np.asarray(strangers)
    unseen = [accepted[labels == stranger].mean() for stranger in np.unique(labels) if stranger not in seen]
    return float(np.mean(unseen)), float(np.mean(named & right))


def _cosines(profiles: Profiles, prints: NDArray[np.float32]) -> NDArray[np.floating]:
    """(N, S) cosines of (N, D) voice prints to the mean of each speaker's centers."""
    means = profiles.centers.mean(1)
    return prints @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T


def _enrollment(
    bundle: Bundle, known: Labelled, strangers: Labelled, half: NDArray[np.integer], draw: int
) -> Enrollment:
    embedder = bundle.embedder()
    mine, theirs = (embedder.embed(part.store, part.indices) for part in (known, strangers))
    labels = np.asarray(strangers.labels)
    profiles, rest = bundle.profiles, []
    for stranger in half[:NEW].tolist():
        rows = np.flatnonzero(labels == stranger)
        clips = rows[np.arange(CLIPS) * len(rows) // CLIPS]  # of different sessions, if there are several
        profiles = profiles.with_speaker(f"new {stranger}", theirs[clips])
        rest += [(row, len(profiles.names) - 1) for row in rows.tolist() if row not in clips]
    rows, indices = np.array(rest).T
    return Enrollment(
        draw,
        len(half[:NEW]),
        _right(bundle.profiles, mine, np.asarray(known.labels)),
        _right(profiles, mine, np.asarray(known.labels)),
        _right(profiles, theirs[rows], indices),
    )


def _right(profiles: Profiles, prints: NDArray[np.float32], indices: NDArray[np.integer]) -> float:
    return float(np.mean(profiles.scores(prints).argmax(1) == indices))
