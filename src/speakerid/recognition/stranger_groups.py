"""Group the voices of strangers: which of them, in one recording or several, are one person's.

Pairs of groups are merged while they are more probably one speaker than two by the bundle's rule for pairs of
recordings (`speakerid.recognition.fitting.fit_verification`), the most probable pair first. The rule is fitted by
duration, and that of a pair is the shorter one's, as in `verify`. A group counts as one voice print of its total
duration, whatever the number of its cells, which are of one session and not independent.

Shapes: V voices, D width of a voice print.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from speakerid.recognition.decision import Rule
from speakerid.recognition.plda import Plda

Array = NDArray[np.float64]


def groups_of(
    prints: NDArray[np.floating],
    seconds: NDArray[np.floating],
    plda: Plda,
    rule: Rule | None,
    false_accepts: float | None = None,
) -> NDArray[np.int64]:
    """Group voices by speaker.

    Args:
        prints: (V, D) voice prints.
        seconds: (V,) durations of their sound.
        plda: distribution of voice prints.
        rule: rule for pairs of recordings; without one, the likelihood ratio alone decides.
        false_accepts: share of pairs of two speakers that may be taken for one; by default two groups are merged where
            that is more probable than not.

    Returns:
        (V,) index of each voice's group, from 0 without gaps, in the order of the first voices.
    """
    owners = np.arange(len(prints))
    if len(prints) < 2:
        return owners
    weights = seconds.astype(np.float64)
    sums = prints.astype(np.float64) * weights[:, None]

    def margins_of(group: int) -> Array:
        """(V,) how far each pair with the group is above the threshold."""
        means = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9)
        scores = plda.score_pairs(means[group], means)
        found = _margins(scores, np.minimum(weights[group], weights), rule, false_accepts)
        found[owners != np.arange(len(owners))] = -np.inf  # merged into another
        found[group] = -np.inf
        return found

    margins = np.stack([margins_of(group) for group in range(len(prints))])
    while margins.max() > 0:
        kept, other = sorted(divmod(int(margins.argmax()), len(prints)))
        owners[owners == other] = kept
        sums[kept] += sums[other]
        weights[kept] += weights[other]
        margins[other] = margins[:, other] = -np.inf
        margins[kept] = margins[:, kept] = margins_of(kept)
    return np.unique(owners, return_inverse=True)[1].reshape(-1)


def _margins(scores: NDArray[np.floating], seconds: Array, rule: Rule | None, false_accepts: float | None) -> Array:
    if rule is None:
        return scores.astype(np.float64)
    odds = rule.log_odds(scores[:, None], seconds)[:, 0]
    return odds if false_accepts is None else odds - rule.thresholds.at(seconds, false_accepts)
