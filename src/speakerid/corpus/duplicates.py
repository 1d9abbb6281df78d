"""Recordings that are there twice: byte for byte, or as a copy that was cut, scaled or encoded anew.

Letters: R recordings, K values of a fingerprint.
"""

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

COMMON_VALUES, COMMON_SHARE = 8, 0.1
"""Values, and share of the smaller fingerprint, that two recordings must have in common to be copies.

Of 577,275 pairs of different recordings of real speech none has more than 5, and none of two speakers more than 2.
"""


def same_content(digests: Sequence[Hashable]) -> list[list[int]]:
    """Groups of two or more places in `digests` that hold the same, in order."""
    places: dict[Hashable, list[int]] = {}
    for place, digest in enumerate(digests):
        places.setdefault(digest, []).append(place)
    return [group for group in places.values() if len(group) > 1]


def same_sound(fingerprints: Sequence[NDArray[np.uint32]]) -> list[list[int]]:
    """Groups of recordings that are likely copies, or parts, of one another.

    An inverted index, value to recordings, proposes the pairs. Only neighbours in each of its lists are proposed, so
    that a value which many share costs no more than its list is long: R K log(R K) altogether. Copies, many as they
    may be, are neighbours in most of the lists they stand in, and each other's by transitivity.

    Args:
        fingerprints: R times (K,) different values, from `speakerid.audio.measure.fingerprint`.

    Returns:
        Groups of two or more places, ascending, in the order of their first one.
    """
    count = len(fingerprints)
    if count < 2:
        return []
    sizes = np.array([len(values) for values in fingerprints])
    values = np.concatenate(fingerprints)
    recordings = np.repeat(np.arange(count), sizes)
    order = np.lexsort((recordings, values))
    values, recordings = values[order], recordings[order]
    neighbours = values[1:] == values[:-1]
    pairs, common = np.unique(recordings[:-1][neighbours] * count + recordings[1:][neighbours], return_counts=True)
    first, second = np.divmod(pairs[common > 1], count)  # one value in common is chance, mostly; spare those the look
    linked = [_are_copies(fingerprints[a], fingerprints[b]) for a, b in zip(first, second, strict=True)]
    return _components(first[linked], second[linked], count)


def _are_copies(first: NDArray[np.uint32], second: NDArray[np.uint32]) -> bool:
    common = len(np.intersect1d(first, second, assume_unique=True))
    return common >= max(COMMON_VALUES, COMMON_SHARE * min(len(first), len(second)))


def _components(first: NDArray[np.int64], second: NDArray[np.int64], count: int) -> list[list[int]]:
    links = coo_array((np.ones(len(first), np.int8), (first, second)), (count, count))
    _, component = connected_components(links, directed=False)
    return same_content(component.tolist())
