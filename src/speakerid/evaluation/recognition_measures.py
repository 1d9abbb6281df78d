"""Scores of utterances against known speakers, as rows of figures with their intervals, and as pictures.

Letters: N utterances of known speakers, I of strangers, S known speakers, T trials, E dimensions.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from speakerid.evaluation.bootstrap import RESAMPLES, bootstrap_interval
from speakerid.evaluation.detection import (
    Numbers,
    cllr,
    det_curve,
    equal_error_rate,
    error_rates,
    min_cllr,
    min_dcf,
)
from speakerid.evaluation.open_set import Answers, open_set_curve, open_set_rates
from speakerid.evaluation.recognition_results import (
    ACCEPTED,
    CLLR,
    DIR,
    EER,
    FALSE_ACCEPT,
    IDENTIFIED,
    MACRO,
    MIN_CLLR,
    MIN_DCF_1,
    MIN_DCF_5,
    MISSED,
    NAMED_STRANGERS,
    TOP_1,
    TOP_5,
    Confusions,
    EmbeddingMap,
    Estimate,
    Measure,
    Row,
)

MOST_TRIALS = 200_000
"""Trials of utterances and speakers that are looked at, so that 500 resamples take seconds."""
MOST_CONFUSED = 12
"""Speakers in the picture of confusions."""
MOST_POINTS = 1_000
"""Embeddings in the map."""
FEWEST_POINTS = 30
"""Embeddings below which t-SNE has no neighbourhoods to keep, and principal components serve."""


@dataclass(frozen=True, eq=False)
class Scored:
    """Utterances against every known speaker."""

    known: NDArray[np.floating]
    """(N, S) scores of known speakers' utterances, N and S at least 1."""
    labels: NDArray[np.integer]
    """(N,) their speakers."""
    strangers: NDArray[np.floating]
    """(I, S) scores of strangers' utterances."""
    stranger_speakers: NDArray[np.integer]
    """(I,) which stranger speaks."""

    @property
    def answers(self) -> Answers:
        return Answers.of(self.known, self.labels, self.strangers)

    def of(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> "Scored":
        """With some of the known speakers' utterances."""
        return replace(self, known=self.known[rows], labels=self.labels[rows])

    def trials(self, seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(T,) utterances and (T,) speakers: every pair, or with too many every speaker's own and some others'."""
        count, speakers = self.known.shape
        others = speakers - 1
        if count * speakers > MOST_TRIALS:
            others = min(others, max(1, MOST_TRIALS // count - 1))
        away = np.append(0, 1 + np.random.default_rng(seed).choice(max(1, speakers - 1), others, replace=False))
        return np.arange(count).repeat(len(away)), ((self.labels[:, None] + away) % speakers).ravel()


Statistic = Callable[[Numbers, Numbers], Mapping[Measure, float]]
"""Measures where each utterance of known speakers, and each of strangers, counts so often."""


def ranking_row(
    name: str, scored: Scored, log_ratios: NDArray[np.floating] | None = None, resamples: int = RESAMPLES
) -> Row:
    """What the scores tell, whatever the threshold.

    Args:
        name: of the row.
        scored: the scores.
        log_ratios: (N, S) the scores as log-likelihood ratios, where they are calibrated.
        resamples: for the intervals.
    """
    right = scored.known.argmax(1) == scored.labels
    own = np.take_along_axis(scored.known, scored.labels[:, None], 1)
    among_five = (scored.known > own).sum(1) < 5
    sizes = np.bincount(scored.labels)[scored.labels]
    utterances, speakers = scored.trials()
    order = np.argsort(scored.known[utterances, speakers], kind="stable")
    utterances, speakers = utterances[order], speakers[order]
    scores, targets = scored.known[utterances, speakers], speakers == scored.labels[utterances]
    answers = scored.answers

    def statistic(known: Numbers, strangers: Numbers) -> Mapping[Measure, float]:
        found = {
            TOP_1: float(np.average(right, weights=known)),
            MACRO: float(np.average(right, weights=known / sizes)),
        }
        if scored.known.shape[1] > 5:
            found[TOP_5] = float(np.average(among_five, weights=known))
        if scored.known.shape[1] > 1:
            found |= detection(scores, targets, known[utterances])
        if log_ratios is not None and scored.known.shape[1] > 1:
            found[CLLR] = cllr(log_ratios[utterances, speakers], targets, known[utterances])
        if len(strangers):
            found[DIR] = open_set_curve(answers, known, strangers).identified_at(FALSE_ACCEPT)
        return found

    return _row(name, scored, statistic, resamples)


def threshold_row(
    name: str,
    scored: Scored,
    thresholds: NDArray[np.floating],
    stranger_thresholds: NDArray[np.floating],
    resamples: int = RESAMPLES,
) -> Row:
    """What the recogniser's own thresholds make of the scores.

    Args:
        name: of the row.
        scored: the scores.
        thresholds: (N,) of each utterance of a known speaker.
        stranger_thresholds: (I,) of each utterance of a stranger.
        resamples: for the intervals.
    """
    utterances, speakers = scored.trials()
    scores, targets = scored.known[utterances, speakers], speakers == scored.labels[utterances]
    answers = scored.answers

    def statistic(known: Numbers, strangers: Numbers) -> Mapping[Measure, float]:
        found: dict[Measure, float] = {}
        if len(strangers):
            named, identified = open_set_rates(answers, thresholds, stranger_thresholds, known, strangers)
            found |= {NAMED_STRANGERS: named, IDENTIFIED: identified}
        else:
            identified = answers.right & (answers.known >= thresholds)
            found[IDENTIFIED] = float(np.average(identified, weights=known))
        if scored.known.shape[1] > 1:
            accepted, missed = error_rates(scores, targets, thresholds[utterances], known[utterances])
            found |= {ACCEPTED: accepted, MISSED: missed}
        return found

    return _row(name, scored, statistic, resamples)


def pairs_row(
    name: str,
    scores: NDArray[np.floating],
    targets: NDArray[np.bool_],
    utterances: tuple[NDArray[np.integer], NDArray[np.integer]],
    speakers: NDArray[np.integer],
    resamples: int = RESAMPLES,
) -> Row:
    """Trials of two utterances each; a trial counts as often as both its utterances were drawn.

    Args:
        name: of the row.
        scores: (T,)
        targets: (T,) whether one speaker said both; some of either kind.
        utterances: (T,) and (T,) which ones, as places in `speakers`.
        speakers: (N,) who says each.
        resamples: for the intervals.
    """
    order = np.argsort(scores, kind="stable")
    scores, targets = scores[order], targets[order]
    first, second = (side[order] for side in utterances)

    def statistic(counts: Numbers) -> Mapping[Measure, float]:
        weights = counts[first] * counts[second]
        if not (weights[targets].any() and weights[~targets].any()):
            return dict.fromkeys((EER, MIN_DCF_1, MIN_DCF_5, MIN_CLLR), math.nan)
        return detection(scores, targets, weights)

    values = statistic(np.ones(len(speakers)))
    bounds = bootstrap_interval(lambda counts: list(statistic(counts).values()), speakers, resamples=resamples)
    size = f"{targets.sum():,} target and {(~targets).sum():,} non-target trials"
    return Row(name, size, _estimates(values, bounds))


def detection(
    scores: NDArray[np.floating], targets: NDArray[np.bool_], weights: Numbers | None = None
) -> dict[Measure, float]:
    """The measures of (T,) trials; see `det_curve`."""
    curve = det_curve(scores, targets, weights)
    return {
        EER: equal_error_rate(curve),
        MIN_DCF_1: min_dcf(curve, 0.01),
        MIN_DCF_5: min_dcf(curve, 0.05),
        MIN_CLLR: min_cllr(curve),
    }


def _row(name: str, scored: Scored, statistic: Statistic, resamples: int) -> Row:
    values = statistic(np.ones(len(scored.known)), np.ones(len(scored.strangers)))
    bounds = bootstrap_interval(
        lambda known, strangers: list(statistic(known, strangers).values()),
        scored.labels,
        scored.stranger_speakers,
        resamples=resamples,
    )
    return Row(name, f"{len(scored.known):,}", _estimates(values, bounds))


def _estimates(
    values: Mapping[Measure, float], bounds: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> dict[Measure, Estimate]:
    figures = zip(values.items(), *(bound.tolist() for bound in bounds), strict=True)
    return {measure: Estimate(value, low, high) for (measure, value), low, high in figures}


def confusions(labels: NDArray[np.integer], named: NDArray[np.integer], speakers: Sequence[str]) -> Confusions | None:
    """Those who are most often taken for one another; None where nobody is.

    Args:
        labels: (N,) who speaks.
        named: (N,) who is named.
        speakers: S names.
    """
    wrong = labels != named
    pairs = Counter(tuple(sorted(pair)) for pair in zip(labels[wrong].tolist(), named[wrong].tolist(), strict=True))
    chosen: list[int] = []
    for pair, _ in sorted(pairs.items(), key=lambda item: (-item[1], item[0])):
        fresh = [speaker for speaker in pair if speaker not in chosen]
        if len(chosen) + len(fresh) <= MOST_CONFUSED:
            chosen += fresh
    if not chosen:
        return None
    place = np.full(len(speakers), len(chosen))
    place[chosen] = np.arange(len(chosen))
    counts = np.zeros((len(chosen) + 1, len(chosen) + 1), np.int64)
    np.add.at(counts, (place[labels], place[named]), 1)
    return Confusions(tuple(speakers[speaker] for speaker in chosen), counts[:-1])


def embedding_map(
    embeddings: NDArray[np.floating], labels: NDArray[np.integer], speakers: Sequence[str], seed: int = 0
) -> EmbeddingMap:
    """Embeddings in a plane, near where they are alike (van der Maaten and Hinton, 2008, t-SNE).

    Args:
        embeddings: (N, E), at least 2 of them; of more than a thousand some are drawn.
        labels: (N,) places in `speakers`, negative for strangers.
        speakers: their names.
        seed: of the draw; t-SNE itself begins with the principal components and draws nothing.
    """
    if len(embeddings) > MOST_POINTS:
        drawn = np.sort(np.random.default_rng(seed).choice(len(embeddings), MOST_POINTS, replace=False))
        embeddings, labels = embeddings[drawn], labels[drawn]
    if len(embeddings) < FEWEST_POINTS:
        points, method = PCA(2, svd_solver="full").fit_transform(embeddings), "principal components"
    else:
        perplexity = min(30.0, len(embeddings) / 4)
        tsne = TSNE(perplexity=perplexity, init="pca", learning_rate="auto", random_state=seed)
        points, method = tsne.fit_transform(embeddings), "t-SNE"
    return EmbeddingMap(points.astype(np.float64), labels, tuple(speakers), method)
