"""How far a figure may be chance: what it would be of other speakers and other utterances.

Shapes: N utterances, K statistics.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 500


def resampled(speakers: NDArray[np.integer], rng: np.random.Generator) -> NDArray[np.int64]:
    """(N,) how often each utterance was drawn: speakers with replacement, and of each draw its utterances likewise.

    Utterances of one speaker are alike, so those who are drawn are speakers first (Davison and Hinkley, 1997, Bootstrap
    methods and their application, section 3.8).

    Args:
        speakers: (N,) who speaks; there may be none.
        rng: moved on.
    """
    if not len(speakers):
        return np.empty(0, np.int64)
    order = np.argsort(speakers, kind="stable")
    _, starts, counts = np.unique(speakers[order], return_index=True, return_counts=True)
    drawn = rng.integers(len(starts), size=len(starts))
    sizes = counts[drawn]
    places = starts[drawn].repeat(sizes) + rng.integers(sizes.repeat(sizes))
    return np.bincount(order[places], minlength=len(speakers))


def bootstrap_interval(
    statistic: Callable[..., ArrayLike], *speakers: NDArray[np.integer], resamples: int = RESAMPLES, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Between which values 95 % of the resamples lie (Efron, 1979, the percentile interval).

    Args:
        statistic: of one array a group, how often each of its utterances counts; one number, or (K,) of them. Where a
            resample does not define one (no target trial is left), it is not a number and is left out.
        speakers: (N,) who speaks, a group of utterances each, drawn independently: known speakers and strangers.
        resamples: how often.
        seed: the same interval for the same seed.

    Returns:
        Lower and upper bounds in the shape of the statistic.
    """

    def values() -> Iterator[NDArray[np.float64]]:
        rng = np.random.default_rng(seed)
        for _ in range(resamples):
            yield np.asarray(statistic(*(resampled(group, rng) for group in speakers)), np.float64)

    found = np.stack(list(values()))
    undefined = np.isnan(found).all(0)  # in every resample, of which NumPy would warn
    # Observed values: between an infinite one and its neighbor nothing can be interpolated.
    found = np.where(undefined, 0.0, found)
    low, high = np.nanquantile(found, [0.025, 0.975], axis=0, method="inverted_cdf")
    return np.where(undefined, np.nan, low), np.where(undefined, np.nan, high)
