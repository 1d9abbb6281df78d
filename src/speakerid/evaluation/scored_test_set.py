"""Score test utterances cut to one duration with a bundle: scores, log-odds and thresholds.

Shapes: U utterances of known speakers and strangers, S speakers of the bundle, D width of a voice print, T trials.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from speakerid.base.errors import UserError
from speakerid.evaluation.measures import Decided, Scored, ScoredPairs
from speakerid.evaluation.test_set import TestSet
from speakerid.evaluation.trials import Pairs
from speakerid.metrics.open_set import Answers
from speakerid.metrics.score_norm import TopCohort, adaptive_s_norm
from speakerid.recognition import FALSE_ACCEPTS
from speakerid.recognition.bundle import Bundle
from speakerid.recognition.decision import Rule
from speakerid.recognition.profiles import Profiles, rank

FEWEST_IN_COHORT = 3
"""Number of speakers that AS-norm needs: the claimed one, and two others to compare with."""


@dataclass(frozen=True, eq=False)
class ScoredTestSet:
    """Test utterances scored by a bundle.

    Attributes:
        bundle: bundle under test.
        test_set: test utterances.
        prints: (U, D) voice prints.
        seconds: (U,) durations that were embedded.
    """

    bundle: Bundle
    test_set: TestSet
    prints: NDArray[np.float32]
    seconds: NDArray[np.float64]

    @staticmethod
    def of(bundle: Bundle, test_set: TestSet, seconds: float | None) -> ScoredTestSet:
        """Score all utterances, cut to a duration from their middle, or whole."""
        rate = bundle.features.frames_per_second
        frames = None if seconds is None else max(1, round(seconds * rate))
        lengths = np.concatenate([store.lengths for store in test_set.stores])  # in frames of the bundle
        counted = lengths if frames is None else np.minimum(lengths, frames)
        return ScoredTestSet(bundle, test_set, test_set.embed(bundle.network(), frames), counted / rate)

    @cached_property
    def scores(self) -> NDArray[np.float32]:
        """(U, S) scores for every speaker."""
        return self.bundle.profiles.scores(self.prints)

    @property
    def scored(self) -> Scored:
        return self._scored(self.scores)

    @property
    def normed(self) -> Scored:
        """Scores after AS-norm; the cohort is the bundle's speakers without the claimed one."""
        profiles = self.bundle.profiles
        speakers = np.arange(len(profiles.names))
        enrolled = TopCohort(_between(profiles)).statistics(speakers, speakers)
        test = TopCohort(self.scores).statistics(np.arange(len(self.scores))[:, None], speakers[None])
        return self._scored(adaptive_s_norm(self.scores, enrolled, test))

    def _scored(self, scores: NDArray[np.floating]) -> Scored:
        known, speakers = self.test_set.known, self.test_set.utterances.speakers
        return Scored(scores[known], self.test_set.profile_indices[known], scores[~known], speakers[~known])

    @property
    def decided(self) -> Decided:
        """Names and log-odds as in `Recognizer.answer`."""
        rule, known = self.bundle.identification, self.test_set.known
        nearest, ranked = rank(self.scores)
        odds, thresholds = np.empty(len(nearest)), np.empty(len(nearest))
        for rows, seconds in _by_duration(self.seconds):
            odds[rows] = rule.log_odds(ranked[rows], seconds)[:, 0]
            thresholds[rows] = rule.thresholds.at(seconds, FALSE_ACCEPTS)
        right = nearest[known, 0] == self.test_set.profile_indices[known]
        return Decided(Answers(odds[known], right, odds[~known]), thresholds[known], thresholds[~known])

    def scored_pairs(self, pairs: Pairs) -> ScoredPairs:
        """Scores, log-likelihood ratios and thresholds as in `Recognizer.verify`."""
        scores = self._pair_scores(pairs)
        rule = self.bundle.verification
        ratios, thresholds = (None, None) if rule is None else self._verified(rule, scores, pairs)
        return ScoredPairs(scores, pairs.targets, pairs.enrolment, pairs.test, ratios, thresholds)

    def normed_pairs(self, pairs: Pairs) -> ScoredPairs:
        """Scores after AS-norm; the cohort is the bundle's speakers without the enrolled one."""
        cohort, claimed = TopCohort(self.scores), self.test_set.profile_indices[pairs.enrolment]
        sides = (cohort.statistics(rows, claimed) for rows in (pairs.enrolment, pairs.test))
        scores = adaptive_s_norm(self._pair_scores(pairs), *sides)
        return ScoredPairs(scores, pairs.targets, pairs.enrolment, pairs.test)

    def _pair_scores(self, pairs: Pairs) -> NDArray[np.floating]:
        return self.bundle.profiles.plda.score_pairs(self.prints[pairs.enrolment], self.prints[pairs.test])

    def _verified(
        self, rule: Rule, scores: NDArray[np.floating], pairs: Pairs
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        ratios, thresholds = np.empty(len(scores)), np.empty(len(scores))
        for rows, seconds in _by_duration(np.minimum(self.seconds[pairs.enrolment], self.seconds[pairs.test])):
            # The rule was fitted with equally many trials of both kinds, so its odds are the likelihood ratio.
            ratios[rows] = rule.log_odds(scores[rows, None], seconds)[:, 0]
            thresholds[rows] = rule.thresholds.at(seconds, FALSE_ACCEPTS)
        return ratios, thresholds


def check_cohort(bundle: Bundle) -> None:
    """Check that there are speakers to compare with for AS-norm.

    Raises:
        UserError: the bundle has too few speakers.
    """
    if len(bundle.profiles.names) < FEWEST_IN_COHORT:
        raise UserError(
            f"--as-norm: found {len(bundle.profiles.names)} speakers in the bundle, expected at least "
            f"{FEWEST_IN_COHORT}, since a score is compared with those of others; leave it out"
        )


def _between(profiles: Profiles) -> NDArray[np.float32]:
    """(S, S) scores of every speaker's centers, as if they were voice prints, for every speaker."""
    return np.max([profiles.scores(centers) for centers in unit(profiles.centers).swapaxes(0, 1)], axis=0)


def unit(vectors: NDArray[np.floating]) -> NDArray[np.floating]:
    """(…, D) vectors scaled to length 1; zero vectors stay zero."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)


def _by_duration(seconds: NDArray[np.float64]) -> Iterator[tuple[NDArray[np.int64], float]]:
    """Yield the rows of each duration."""
    durations, group = np.unique(seconds, return_inverse=True)
    order = np.argsort(group, kind="stable")
    edges = np.searchsorted(group[order], np.arange(1, len(durations)))
    yield from zip(np.split(order, edges), durations.tolist(), strict=True)
