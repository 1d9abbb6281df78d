"""Represent all recordings of a speaker by three voice prints, the centers.

Shapes: C clips of a speaker, K centers, S speakers, D width of a voice print.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from speakerid.recognition.k_means import k_means

CENTERS = 3
"""K, the same for every speaker: one with more centers would be closer to everything by chance."""
PRIOR = 5
"""Number of clips that the prior counts as; it draws the center of a few clips to the mean of all clips."""


def centers_of(
    points: NDArray[np.floating], clips: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Compute (K, D) centers of one speaker's (C, D) voice prints, and (K,) the number of clips of each.

    The groups are those of k-means, or single prints if there are at most K. The center of a group of n clips lies
    n / (n + PRIOR) of the way from the mean of all clips to that of the group: the posterior mean for a normal prior
    around the former.

    Args:
        points: voice prints of clips, or means of several.
        clips: (C,) number of clips that each point is the mean of; 1 by default.
    """
    clips = np.ones(len(points), np.int64) if clips is None else clips
    # Sorted, so that the order of the clips does not matter; equal ones are one point for k-means.
    points, same = np.unique(points.astype(np.float64), axis=0, return_inverse=True)
    clips = np.bincount(same.reshape(-1), clips).astype(np.int64)
    if len(points) <= CENTERS:
        again = np.arange(CENTERS) % len(points)
        means, weights = points[again], clips[again]
        sizes = np.where(np.arange(CENTERS) < len(points), weights, 0)
    else:
        means, groups = k_means(points, clips, CENTERS)
        weights = sizes = np.bincount(groups, clips, CENTERS).astype(np.int64)
    mean = np.average(points, axis=0, weights=clips)
    return (mean + (weights / (weights + PRIOR))[:, None] * (means - mean)).astype(np.float32), sizes


def means_of(centers: NDArray[np.floating], clips: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Means of the groups that have clips, and their numbers of clips: the inverse of `centers_of`."""
    some = clips > 0
    centers, clips = centers[some].astype(np.float64), clips[some]
    mean = np.average(centers, axis=0, weights=clips + PRIOR)
    return mean + ((clips + PRIOR) / clips)[:, None] * (centers - mean), clips


def even_clips(clips: Sequence[int]) -> NDArray[np.int64]:
    """(S, K) numbers of clips per center if only their sums are known, as in bundles of earlier versions."""
    return np.array([[(count + CENTERS - 1 - k) // CENTERS for k in range(CENTERS)] for count in clips], np.int64)
