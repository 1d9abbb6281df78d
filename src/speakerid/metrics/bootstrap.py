"""Bootstrap confidence intervals: resample speakers, then their utterances.

Shapes: N utterances, K statistics.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 500


def resampled(speakers: NDArray[np.integer], rng: np.random.Generator) -> NDArray[np.int64]:
    """(N,) number of times each utterance is drawn, with replacement: speakers first, then utterances of each.

    Utterances of a speaker are not independent, so speakers are drawn first (Davison and Hinkley, 1997, Bootstrap
    methods and their application, section 3.8).

    Args:
        speakers: (N,) speaker of each utterance; N may be 0.
        rng: random generator, which is advanced.
    """
    if not len(speakers):
        return np.empty(0, np.int64)
    order = np.argsort(speakers, kind="stable")
    _, starts, counts = np.unique(speakers[order], return_index=True, return_counts=True)
    drawn = rng.integers(len(starts), size=len(starts))
    sizes = counts[drawn]
    positions = starts[drawn].repeat(sizes) + rng.integers(sizes.repeat(sizes))
    return np.bincount(order[positions], minlength=len(speakers))


def bootstrap_interval(
    statistic: Callable[..., ArrayLike], *speakers: NDArray[np.integer], resamples: int = RESAMPLES, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """95 % percentile interval of a statistic (Efron, 1979).

    Args:
        statistic: function of one array per group, the number of times each of its utterances counts, that returns a
            number or (K,) numbers. NaN if a resample does not define it (no target trial is left); these are ignored.
        speakers: (N,) speakers of the utterances of each group; groups, such as known speakers and strangers, are drawn
            independently.
        resamples: number of resamples.
        seed: seed of the draws.

    Returns:
        Lower and upper bounds in the shape of the statistic.
    """

    def values() -> Iterator[NDArray[np.float64]]:
        rng = np.random.default_rng(seed)
        for _ in range(resamples):
            yield np.asarray(statistic(*(resampled(group, rng) for group in speakers)), np.float64)

    found = np.stack(list(values()))
    undefined = np.isnan(found).all(0)  # in every resample, about which NumPy would warn
    # Observed values only: a finite and an infinite one cannot be interpolated.
    found = np.where(undefined, 0.0, found)
    low, high = np.nanquantile(found, [0.025, 0.975], axis=0, method="inverted_cdf")
    return np.where(undefined, np.nan, low), np.where(undefined, np.nan, high)
