"""Make the calibration set: voice prints, by duration, that thresholds and probabilities are fitted on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from speakerid.config import FeatureConfig
from speakerid.corpus.labelled import Labelled
from speakerid.corpus.store import FrameStore
from speakerid.corpus.utterances import UNKNOWN
from speakerid.recognition.calibration_set import DURATIONS, JOINED, CalibrationSet
from speakerid.recognition.held_out import HeldOutEmbedder, corrections
from speakerid.recognition.network import Embeds
from speakerid.recognition.profiles import Profiles
from speakerid.recognition.pseudo_strangers import shift
from speakerid.recognition.simulated import evenly_spaced

MOST = 1000
"""Largest number of utterances of known speakers, and of strangers, per duration."""
MOST_JOINED = 100
"""The same for joined utterances."""


@dataclass(frozen=True)
class Strangers:
    """Voices used as strangers.

    Attributes:
        voices: utterances; if there are none, the known speakers are left out in turn.
        factors: factors by which frequencies are shifted; each makes other strangers of the same utterances.
        description: description for the card.
        are_speakers: whether they are known speakers, embedded by models that were trained without them.
    """

    voices: Labelled
    factors: tuple[float, ...] = (1.0,)
    description: str = ""
    are_speakers: bool = False


def calibration_set_of(
    embedder: Embeds,
    known: Labelled,
    profiles: Profiles,
    embedder_of_strangers: Embeds,
    strangers: Strangers,
    features: FeatureConfig,
) -> list[CalibrationSet]:
    """Make voice prints to fit on, by duration in ascending order.

    Durations that fewer than half of the utterances, or of the speakers, reach are left out, except the shortest one.
    Longer ones are represented by joined utterances of one session, if half of the speakers have enough of them: a
    timeline identifies a voice by all of its speech.

    Args:
        embedder: makes voice prints of known speakers.
        known: utterances of known speakers; `labels` are indices in `profiles`.
        profiles: profiles of the known speakers.
        embedder_of_strangers: makes voice prints of strangers.
        strangers: utterances of strangers.
        features: settings of all features.
    """
    some, others = _even(known, MOST), _even(strangers.voices, MOST // len(strangers.factors))
    rows: list[CalibrationSet] = []
    shorter = 0
    for seconds in DURATIONS:
        frames = round(seconds * features.frames_per_second)
        mine, theirs = _longer(some, shorter), _longer(others, shorter)
        if rows and not (_most(mine, some) and _most(theirs, others)):
            break
        rows.append(_evidence(seconds, embedder, mine, profiles, embedder_of_strangers, theirs, strangers, features))
        shorter = frames
    for seconds in (one for one in JOINED if one > rows[-1].seconds):
        frames = round(seconds * features.frames_per_second)
        (mine, by), (theirs, by_theirs) = (
            _joined(part, one, frames) for part, one in ((known, embedder), (strangers.voices, embedder_of_strangers))
        )
        if not (_most_speakers(mine, known) and _most_speakers(theirs, strangers.voices)):
            break
        found = _evidence(seconds, by, mine, profiles, by_theirs, theirs, strangers, features)
        rows.append(replace(found, joined=True))
    return rows


def _evidence(
    seconds: float,
    embedder: Embeds,
    known: Labelled,
    profiles: Profiles,
    embedder_of_strangers: Embeds,
    others: Labelled,
    strangers: Strangers,
    features: FeatureConfig,
) -> CalibrationSet:
    """Make voice prints of one duration, see `calibration_set_of`."""
    names, frames = profiles.names, round(seconds * features.frames_per_second)
    added = np.zeros((0, 2), np.float32)
    if isinstance(embedder, HeldOutEmbedder):
        embeddings = embedder.embeddings(known.store, known.indices, frames)
        prints = _half(embedder.voice_prints(embeddings))
        added = corrections(profiles, prints, known.labels, embedder.fold_scores(embeddings, known.labels))
    else:
        prints = _half(embedder.embed(known.store, known.indices, frames))
    foreign, whose = np.zeros((0, prints.shape[1]), np.float32), np.zeros(0, np.int32)
    for number, factor in enumerate(strangers.factors if others.labels else ()):
        bands = None if factor == 1 else shift(features, factor)
        shifted = embedder_of_strangers.embed(others.store, others.indices, frames, bands)
        foreign = np.concatenate([foreign, shifted])
        whose = np.concatenate([whose, np.array(others.labels, np.int32) * len(strangers.factors) + number])
    return CalibrationSet(
        seconds,
        prints,
        np.array([names[label] for label in known.labels], str),
        _half(foreign),
        whose,
        np.array([names[label] for label in others.labels] if strangers.are_speakers else [], str),
        added,
    )


def _joined(part: Labelled, embedder: Embeds, frames: int) -> tuple[Labelled, Embeds]:
    """Join consecutive utterances of one speaker and session until they are long enough; with an embedder for them."""
    indices, count = np.asarray(part.indices, np.int64), len(part.indices)
    sessions = np.full(count, UNKNOWN) if part.sessions is None else np.asarray(part.sessions)
    folds = embedder.fold_of[indices] if isinstance(embedder, HeldOutEmbedder) else np.zeros(count, np.int64)
    groups = np.unique(np.stack([part.labels, sessions, folds], 1), axis=0, return_inverse=True)[1].reshape(-1)
    found: list[list[int]] = []
    for group in range(groups.max(initial=-1) + 1):
        rows, length = list[int](), 0
        for row in np.flatnonzero(groups == group).tolist():
            rows.append(row)
            length += int(part.store.lengths[indices[row]])
            if length >= frames:
                found.append(rows)
                rows, length = [], 0
    found = [found[index] for index in evenly_spaced(len(found), MOST_JOINED)]
    pieces = [np.concatenate([part.store.array(indices[row]) for row in rows]) for rows in found]
    store = FrameStore.from_utterances(pieces, part.store.frames.shape[1])
    if isinstance(embedder, HeldOutEmbedder):
        embedder = embedder.of(indices[[rows[0] for rows in found]])
    return Labelled(store, range(len(found)), [part.labels[rows[0]] for rows in found]), embedder


def _most(part: Labelled, whole: Labelled) -> bool:
    """Whether at least half of the utterances and of the speakers remain."""
    return 2 * len(part.labels) >= len(whole.labels) and _most_speakers(part, whole)


def _most_speakers(part: Labelled, whole: Labelled) -> bool:
    return 2 * len(set(part.labels)) >= len(set(whole.labels))


def _half(prints: NDArray[np.float32]) -> NDArray[np.float32]:
    """Round as in the file, so that a bundle gives the same answers before and after it was written."""
    return prints.astype(np.float16).astype(np.float32)


def _even(part: Labelled, most: int) -> Labelled:
    """Evenly spaced utterances, so that every speaker has some."""
    order = np.argsort(np.asarray(part.labels), kind="stable")[evenly_spaced(len(part.labels), most)]
    return Labelled(part.store, [part.indices[row] for row in order], [part.labels[row] for row in order])


def _longer(part: Labelled, frames: int) -> Labelled:
    lengths = part.store.lengths
    kept = [(i, label) for i, label in zip(part.indices, part.labels, strict=True) if lengths[i] > frames]
    return Labelled(part.store, [index for index, _ in kept], [label for _, label in kept])
