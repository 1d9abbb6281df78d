"""Find labels that contradict the sound: a recording filed under the wrong speaker, a person under two names.

Recordings are compared by mean and standard deviation of every log-mel band, that is, by microphone and average
spectrum. This finds filing mistakes; it cannot match one voice on two microphones. Distances are Mahalanobis distances.

Shapes: R recordings, S speakers, D features of a recording (2 M for M mel bands).
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.covariance import ledoit_wolf

MIN_RATIO, MIN_DEVIATIONS = 1.1, 2.5
"""Thresholds of a doubted label: the ratio of the distances to its speaker and to the nearest other speaker, and the
number of standard deviations of the log ratio above its median in the corpus. The second adapts to corpora in which
channels vary as much as voices."""
MAX_JUDGED = 20_000
"""Maximum number of recordings to compare with all others, to bound the time. Those furthest from the mean of their
speaker and session are chosen."""
MIN_MIXED_SHARE, MIN_MIXED = 0.1, 3
"""Two names are reported as one person if at least this share of their recordings, and this number, is nearest to one
of the other name. The share is about one half for one person, and about zero for two."""
MAX_COMPARED, MAX_CANDIDATES = 200, 5
"""Number of recordings per speaker to compare, evenly spaced, and of other speakers to compare to, nearest by mean."""
MANY_SESSIONS, MANY_SPEAKERS = 4, 10
"""Minimum sessions for a speaker's mean to average out microphones, and minimum number of such speakers to know the
usual distances."""
FALSE_ALARMS = 0.5
"""Expected number of pairs of different people, in the whole corpus, that are reported by mistake."""
_SAMPLE = 50_000
"""Maximum number of deviations to estimate a covariance from."""
_CELLS = 2**23
"""Maximum number of distances in memory at a time."""

Points = NDArray[np.float32]


@dataclass(frozen=True)
class Doubt:
    """A recording that is likely labelled with the wrong speaker."""

    index: int
    nearest_speaker: str
    """Speaker with the nearest recordings."""
    ratio: float
    """Distance to the labelled speaker's recordings, divided by the distance to those of `nearest_speaker`."""


def whiten(statistics: Points, speakers: Sequence[str], sessions: Sequence[str | None]) -> Points:
    """Whiten statistics by the covariance of recordings within speaker and session.

    Args:
        statistics: (R, D) mean and standard deviation of every band.
        speakers: R names.
        sessions: R names, None if unknown. Ignored if most sessions have a single recording.

    Returns:
        (R, D) points, whose Euclidean distances are Mahalanobis distances of the statistics.
    """
    group = _number_keys(list(zip(speakers, sessions, strict=True)))
    if 2 * (group.max() + 1) > len(group):
        group = _number_keys(speakers)
    features = statistics.astype(np.float64)
    return _whiten(features, _deviations(features, group))


def doubted_labels(points: Points, speakers: Sequence[str], sessions: Sequence[str | None]) -> list[Doubt]:
    """Find recordings that are closer to another speaker than to their own, the most doubtful first.

    The distance to a speaker is the mean distance to the nearest two recordings of any session. So a speaker may have
    many sessions, each with its own microphone: a correctly labelled recording is close to its own session. A recording
    that is alone in its session is not judged.

    Args:
        points: (R, D) from `whiten`.
        speakers: R names.
        sessions: R names, None if unknown.
    """
    names, speaker = np.unique(np.asarray(speakers), return_inverse=True)
    group = _number_keys(list(zip(speakers, sessions, strict=True)))
    alone = _alone_in_session(speakers, sessions)
    outlying = np.where(alone, -1, np.square(_deviations(points, group)).sum(1))
    judged = np.sort(np.argsort(-outlying, kind="stable")[: min(MAX_JUDGED, np.count_nonzero(~alone))])
    nearest, ratio = _nearest_other(points, speaker, judged)
    comparable = ratio > 0
    if not comparable.any():
        return []
    low, middle = np.quantile(np.log(ratio[comparable]), [norm.cdf(-1), 0.5])
    doubted = np.flatnonzero(comparable & (ratio > max(MIN_RATIO, np.exp(middle + MIN_DEVIATIONS * (middle - low)))))
    doubts = [Doubt(int(judged[row]), str(names[nearest[row]]), float(ratio[row])) for row in doubted]
    return sorted(doubts, key=lambda doubt: (-doubt.ratio, doubt.index))


def mixed_speakers(points: Points, speakers: Sequence[str], sessions: Sequence[str | None]) -> list[tuple[str, str]]:
    """Find pairs of names whose recordings mix like those of one person on one microphone.

    Follows the two-sample test of Schilling (1986) and Henze (1988), which counts how often the nearest recording has
    the other name. Recordings that are alone in their session are left out.

    Args:
        points: (R, D) from `whiten`.
        speakers: R names.
        sessions: R names, None if unknown.
    """
    judged = ~_alone_in_session(speakers, sessions)
    points = points[judged]
    names, speaker = np.unique(np.asarray(speakers)[judged], return_inverse=True)
    if len(names) < 2:
        return []
    members = np.split(np.argsort(speaker, kind="stable"), np.cumsum(np.bincount(speaker))[:-1])
    samples = [points[own[:: -(-len(own) // MAX_COMPARED)]] for own in members]
    mixed: dict[tuple[int, int], list[NDArray[np.bool_]]] = {}
    for one, others in enumerate(_candidates(np.stack([points[own].mean(0) for own in members]))):
        own = _nearest_two(samples[one], samples[one])
        distances = np.stack([_nearest_two(samples[one], samples[other]) for other in others])
        nearest = np.where(np.isfinite(own) & (distances.min(0) < own), distances.argmin(0), -1)
        for column, other in enumerate(others):
            mixed.setdefault((min(one, other), max(one, other)), []).append(nearest == column)
    return [
        (str(names[one]), str(names[other]))
        for (one, other), (there, back) in sorted(mixed.items())
        if there.mean() + back.mean() >= 2 * MIN_MIXED_SHARE and there.sum() + back.sum() >= MIN_MIXED
    ]


def equal_means(statistics: Points, speakers: Sequence[str], sessions: Sequence[str | None]) -> list[tuple[str, str]]:
    """Find pairs of names whose means over many sessions are as close as those of one person.

    Uses Hotelling's two-sample statistic (1931) on session means, with the covariance of sessions within a speaker. A
    pair is reported if its statistic is below the expectation for one person and below the threshold at which
    `FALSE_ALARMS` pairs of different people are expected, if log statistics are normal.

    Args:
        statistics: (R, D) mean and standard deviation of every band.
        speakers: R names.
        sessions: R names, None if unknown.
    """
    known = [index for index, session in enumerate(sessions) if session is not None]
    occasions = [(speakers[index], sessions[index]) for index in known]
    group = _number_keys(occasions)
    if not len(group):
        return []
    means = _means(statistics[known].astype(np.float64), group)
    owner = np.empty(len(means), object)
    owner[group] = [speaker for speaker, _ in occasions]
    names, speaker, counts = np.unique(owner.astype(str), return_inverse=True, return_counts=True)
    if np.count_nonzero(counts >= MANY_SESSIONS) < MANY_SPEAKERS:
        return []
    unbiased = np.sqrt(counts / np.maximum(counts - 1, 1))[speaker][:, None]
    points = _whiten(means, _deviations(means, speaker) * unbiased)
    judged = np.flatnonzero(counts >= MANY_SESSIONS)
    return [(str(names[a]), str(names[b])) for a, b in _below_all(_means(points, speaker), counts, judged)]


def _below_all(centers: Points, counts: NDArray[np.int64], judged: NDArray[np.int64]) -> list[tuple[int, int]]:
    centers, counts = centers[judged], counts[judged]
    dimensions = centers.shape[1]

    def statistic(rows: NDArray[np.int64]) -> Points:
        distances = _squared_distances(centers[rows], centers) / (1 / counts[rows][:, None] + 1 / counts) / dimensions
        distances[np.arange(len(rows)), rows] = np.inf
        return np.log(np.maximum(distances, 1e-6))

    usual = statistic(np.arange(0, len(judged), -(-len(judged) // 500)))
    low, middle = np.quantile(usual[np.isfinite(usual)], [norm.cdf(-1), 0.5])
    pairs = len(judged) * (len(judged) - 1) / 2
    threshold = min(0.0, middle + norm.ppf(FALSE_ALARMS / pairs) * (middle - low))
    found: list[tuple[int, int]] = []
    for rows in _chunks(np.arange(len(judged)), len(judged)):
        near = np.argwhere(statistic(rows) < threshold)
        found += [(int(judged[rows[a]]), int(judged[b])) for a, b in near if rows[a] < b]
    return found


def _alone_in_session(speakers: Sequence[str], sessions: Sequence[str | None]) -> NDArray[np.bool_]:
    """Mask of the recordings with a known session that has no other recording."""
    group = _number_keys(list(zip(speakers, sessions, strict=True)))
    return (np.bincount(group)[group] < 2) & np.array([session is not None for session in sessions])


def _number_keys(keys: Sequence[Hashable]) -> NDArray[np.int64]:
    """Number the keys in order of first occurrence; equal keys get equal numbers."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)


def _means(rows: NDArray[np.floating], group: NDArray[np.int64]) -> NDArray[np.floating]:
    """Mean row of each group."""
    counts = np.bincount(group)
    order = np.argsort(group, kind="stable")
    return np.add.reduceat(rows[order], np.cumsum(counts) - counts, axis=0) / counts[:, None].astype(rows.dtype)


def _deviations(rows: NDArray[np.floating], group: NDArray[np.int64]) -> NDArray[np.floating]:
    """Rows minus the mean of their group; zero for a row that is alone in its group."""
    return rows - _means(rows, group)[group]


def _whiten(rows: NDArray[np.floating], deviations: NDArray[np.floating]) -> Points:
    """Transform rows so that the deviations have unit covariance.

    The covariance is shrunk (Ledoit & Wolf 2004). With at least 10 deviations, it is estimated twice more without the
    outermost tenth of them, which contains the wrong labels.
    """
    deviations = deviations[np.any(deviations != 0, axis=1)]
    if not len(deviations):  # no group has two recordings
        deviations = rows - rows.mean(0)
    deviations = deviations[:: -(-len(deviations) // _SAMPLE)]
    scale = deviations.std(0)
    scale[scale < 1e-6] = 1  # a constant band
    deviations = deviations / scale
    kept, rotation = deviations, np.eye(rows.shape[1])
    for _ in range(3 if len(deviations) >= 10 else min(1, len(deviations) - 1)):
        covariance, _ = ledoit_wolf(kept, assume_centered=True)
        values, vectors = np.linalg.eigh(covariance)
        rotation = vectors / np.sqrt(np.maximum(values, 1e-6))
        distance = np.square(deviations @ rotation).sum(1)
        kept = deviations[distance <= np.quantile(distance, 0.9)]
    return ((rows - rows.mean(0)) / scale @ rotation).astype(np.float32)


def _squared_distances(rows: Points, columns: Points) -> Points:
    products = rows @ columns.T
    squares = np.square(rows).sum(1)[:, None] + np.square(columns).sum(1)
    return np.maximum(squares - 2 * products, 0)


def _chunks(indices: NDArray[np.int64], width: int) -> list[NDArray[np.int64]]:
    """Split `indices` into pieces whose distances to `width` other points fit in memory."""
    rows = max(1, _CELLS // max(1, width))
    return [indices[start : start + rows] for start in range(0, len(indices), rows)]


def _nearest_other(
    points: Points, speaker: NDArray[np.int64], judged: NDArray[np.int64]
) -> tuple[NDArray[np.int64], Points]:
    """Nearest other speaker of each recording in `judged`, and the ratio of the own speaker's distance to that one's.

    Speakers without two recordings besides the judged one are not compared; the ratio is 0 if nothing is compared.
    """
    order = np.argsort(speaker, kind="stable")
    rank = np.argsort(order, kind="stable")
    counts = np.bincount(speaker)
    starts = np.cumsum(counts) - counts
    columns, owners = points[order], speaker[order]
    nearest, ratio = np.zeros(len(judged), np.int64), np.zeros(len(judged), np.float32)
    for piece in _chunks(np.arange(len(judged)), len(points)):
        indices, rows = judged[piece], np.arange(len(piece))
        squared = _squared_distances(points[indices], columns)
        squared[rows, rank[indices]] = np.inf
        first = np.minimum.reduceat(squared, starts, axis=1)
        squared[squared <= first[:, owners]] = np.inf
        far = (np.sqrt(first) + np.sqrt(np.minimum.reduceat(squared, starts, axis=1))) / 2
        own = far[rows, speaker[indices]]
        far[rows, speaker[indices]] = np.inf
        nearest[piece] = far.argmin(1)
        other = np.maximum(far[rows, nearest[piece]], 1e-6)
        compared = np.flatnonzero(np.isfinite(own) & np.isfinite(other))
        ratio[piece[compared]] = own[compared] / other[compared]
    return nearest, ratio


def _nearest_two(rows: Points, columns: Points) -> Points:
    """Mean distance of each row to the two nearest columns other than itself; infinite with fewer than two columns."""
    squared = _squared_distances(rows, columns)
    if rows is columns:
        np.fill_diagonal(squared, np.inf)
    if squared.shape[1] < 2:
        return np.full(len(rows), np.inf, np.float32)
    return np.sqrt(np.partition(squared, 1, axis=1)[:, :2]).mean(1)


def _candidates(means: Points) -> list[list[int]]:
    """For each speaker, the `MAX_CANDIDATES` nearest by mean, and those that have it among theirs; ascending."""
    candidates: list[set[int]] = [set() for _ in means]
    for rows in _chunks(np.arange(len(means)), len(means)):
        squared = _squared_distances(means[rows], means)
        squared[np.arange(len(rows)), rows] = np.inf
        nearest = np.argsort(squared, axis=1, kind="stable")[:, : min(MAX_CANDIDATES, len(means) - 1)]
        for one, others in zip(rows.tolist(), nearest.tolist(), strict=True):
            candidates[one].update(others)
            for other in others:
                candidates[other].add(one)
    return [sorted(others) for others in candidates]
