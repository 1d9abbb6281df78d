"""Cluster the windows of a recording by voice, known or not.

Agglomerative clustering finds more clusters than there are voices. A hidden Markov model then has one state per
cluster, a voice whose prior is the PLDA model's. It is fitted by variational Bayes, and superfluous states die out
(VBx: Landini et al., 2022, Bayesian HMM clustering of x-vector sequences in speaker diarization, Computer Speech and
Language 71).

Shapes: N windows, D width of a voice print, C clusters.
"""

from __future__ import annotations

import fastcluster
import numpy as np
from numpy.typing import NDArray

from speakerid.recognition.plda import Plda

CLUSTERS = 20
"""Number of initial clusters."""
WINDOW_VARIANCE = 0.08
"""Variance of a window's voice print around its voice, along every axis; voice prints have length 1. More than the true
one, since windows overlap and repeat the same information."""
STAY = 0.95
"""Probability that the next window has the same voice, regardless of the voices."""
ITERATIONS = 20
SMALLEST_PRIOR = 1e-10
"""Smallest prior of a state, so that no window is impossible."""
SMALLEST_GAIN = 1e-3
"""Smallest gain in the evidence lower bound; the fit ends below it."""

Array = NDArray[np.float64]


def clusters_of(prints: NDArray[np.floating], plda: Plda) -> NDArray[np.int64]:
    """Cluster the windows of a recording.

    Args:
        prints: (N, D) voice prints of windows in temporal order, N > 0.
        plda: distribution of voice prints.

    Returns:
        (N,) index of each window's cluster, from 0 without gaps.
    """
    voices = plda.between / WINDOW_VARIANCE
    x = prints.astype(np.float64) * np.sqrt(voices / WINDOW_VARIANCE)
    first = _first_clusters(prints, plda)
    shares = np.eye(first.max() + 1)[first]
    priors, best = shares.mean(0), -np.inf
    for _ in range(ITERATIONS):
        precisions = 1 + shares.sum(0)[:, None] * voices
        means = shares.T @ x / precisions
        fit = x @ means.T - 0.5 * (means**2 + 1 / precisions) @ voices
        shares, priors, evidence = forward_backward(fit, priors, STAY)
        # The evidence lower bound: subtract the divergence of the voices from their prior.
        bound = evidence - 0.5 * float((np.log(precisions) + 1 / precisions + means**2 - 1).sum())
        if bound - best < SMALLEST_GAIN:
            break
        best = bound
    return np.unique(shares.argmax(1), return_inverse=True)[1].reshape(-1)


def forward_backward(log_likelihoods: Array, priors: Array, stay: float) -> tuple[Array, Array, float]:
    """Run the forward-backward algorithm; the next state is the same with probability `stay`, else drawn from `priors`.

    Args:
        log_likelihoods: (N, C) log-likelihood of each window in each state.
        priors: (C,) probabilities of the states in a draw.
        stay: probability of staying in a state without a draw.

    Returns:
        (N, C) probabilities of the states, (C,) share of the draws that led to each state, and log-likelihood of all
        windows.
    """
    count, priors = len(log_likelihoods), np.maximum(priors, SMALLEST_PRIOR)
    highest = log_likelihoods.max(1, keepdims=True)
    likelihoods = np.exp(log_likelihoods - highest)
    forward, totals = np.empty_like(likelihoods), np.empty(count)
    before = priors
    for row in range(count):
        before = before * likelihoods[row]
        totals[row] = before.sum()
        forward[row] = before = before / totals[row]
        before = stay * before + (1 - stay) * priors
    backward = np.ones_like(likelihoods)
    drawn = np.zeros(len(priors))
    for row in range(count - 1, 0, -1):
        after = likelihoods[row] * backward[row] / totals[row]
        drawn += after
        backward[row - 1] = stay * after + (1 - stay) * (priors @ after)
    shares = forward * backward
    shares /= shares.sum(1, keepdims=True)
    drawn = shares[0] + (1 - stay) * priors * drawn
    return shares, drawn / drawn.sum(), float(np.log(totals).sum() + highest.sum())


def _first_clusters(prints: NDArray[np.floating], plda: Plda) -> NDArray[np.int64]:
    """(N,) at most `CLUSTERS` clusters of (N, D) voice prints by average linkage."""
    count = len(prints)
    if count <= CLUSTERS:
        return np.arange(count)
    scores = plda.score_all_pairs(prints)
    distances = (scores.max() - scores)[np.triu_indices(count, 1)]
    merges = fastcluster.linkage(distances, "average")
    clusters = np.arange(2 * count - 1)  # of the prints, followed by the merged clusters
    for row in range(count - CLUSTERS - 1, -1, -1):
        clusters[merges[row, :2].astype(np.int64)] = clusters[count + row]
    return np.unique(clusters[:count], return_inverse=True)[1].reshape(-1)
