"""Thresholds and probabilities, fitted on the voices that a bundle carries for it, and what to expect of them.

Letters: N utterances of known speakers, I of strangers, D width of a voice print, P pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from speakerid.recognition.decision import RATES, Rule, Thresholds, fit_probabilities, log_odds, thresholds_for
from speakerid.recognition.evidence import Evidence
from speakerid.recognition.plda import Plda
from speakerid.recognition.profiles import Profiles

PAIRS = 20_000
"""Of different speakers, and of the same; more would tell no more."""
FOLDS = 10
EXPECTED_RATE = 0.01
"""Of false accepts, of which `Expected` tells."""


@dataclass(frozen=True)
class Expected:
    """What the rule does to strangers that its threshold has not seen.

    Attributes:
        seconds: duration.
        known: utterances of known speakers it was fitted on.
        strangers: utterances of strangers.
        stranger_speakers: how many different ones they are.
        false_accepts: share of strangers' utterances that are given a name where 1 % is asked for; each stranger is
            judged by a threshold fitted on the others.
        identified: share of known speakers' utterances that are given the right name by the same threshold. Of both,
            utterances that are too short for the duration count as they do at their own.
    """

    seconds: float
    known: int
    strangers: int
    stranger_speakers: int
    false_accepts: float
    identified: float


def fit_identification(evidence: Sequence[Evidence], profiles: Profiles) -> tuple[Rule, list[Expected]]:
    """Who of the profiles speaks, or a stranger; and what can be expected of that.

    Args:
        evidence: by duration, ascending; each has utterances of known speakers.
        profiles: of at least one speaker.
    """
    fitted, promised = [], []
    for some in evidence:
        known, strangers = some.of_known(profiles), some.of_strangers(profiles)
        scale, unknown = fit_probabilities(known.ranked, known.right, strangers)
        best = log_odds(strangers, scale, unknown)[:, 0]
        fitted.append((scale, unknown, thresholds_for(best, some.stranger_groups, RATES)))
        if not some.joined:
            promised.append(_expected(some, known.found, log_odds(known.ranked, scale, unknown)[:, 0], best))
    return _rule(evidence, fitted), _with_shorter_ones(promised)


def fit_verification(evidence: Sequence[Evidence], plda: Plda) -> Rule | None:
    """Whether two recordings are of one speaker, by `Plda.of_pairs`; None where no two are."""
    fitted = []
    for some in evidence:
        same, different, groups = _pairs(some, plda)
        if not len(same) or not len(different):
            return None
        scale, unknown = fit_probabilities(same[:, None], same, different[:, None])
        odds = log_odds(different[:, None], scale, unknown)[:, 0]
        fitted.append((scale, unknown, thresholds_for(odds, groups, RATES)))
    return _rule(evidence, fitted)


def _expected(
    evidence: Evidence, found: NDArray[np.bool_], known: NDArray[np.float64], strangers: NDArray[np.float64]
) -> Expected:
    """By cross-validation over strangers, see `Expected`.

    Args:
        evidence: of one duration.
        found: (N,) whether the most probable name is the right one.
        known: (N,) its log-odds.
        strangers: (I,) those of the most probable names of strangers.
    """
    groups = evidence.stranger_groups
    accepted = np.zeros(len(strangers), bool)
    named = []
    names = np.unique(groups)
    for fold in range(min(FOLDS, len(names))):
        out = np.isin(groups, names[fold::FOLDS])
        others = strangers[~out], groups[~out]
        threshold = thresholds_for(*others, [EXPECTED_RATE])[0] if len(others[0]) else np.inf
        accepted[out] = strangers[out] >= threshold
        named.append(float(np.mean(found & (known >= threshold))))
    by_stranger = [accepted[groups == name].mean() for name in names]
    return Expected(
        evidence.seconds, len(found), len(strangers), len(names), float(np.mean(by_stranger)), float(np.mean(named))
    )


def _with_shorter_ones(rows: Sequence[Expected]) -> list[Expected]:
    """What is expected where utterances too short for a row count as the row of their own duration expects."""
    found = []
    known = strangers = 0.0  # utterances named, of those that have been left behind by now
    for number, row in enumerate(rows):
        if number:
            before = rows[number - 1]
            known += (before.known - row.known) * before.identified
            strangers += (before.strangers - row.strangers) * before.false_accepts
        found.append(
            replace(
                row,
                identified=(known + row.known * row.identified) / rows[0].known,
                false_accepts=(strangers + row.strangers * row.false_accepts) / max(1, rows[0].strangers),
            )
        )
    return found


def _rule(evidence: Sequence[Evidence], fitted: Sequence[tuple[float, float, NDArray[np.float64]]]) -> Rule:
    scale, unknown, thresholds = (np.array(column) for column in zip(*fitted, strict=True))
    seconds = np.array([some.seconds for some in evidence])
    return Rule(scale, unknown, Thresholds(seconds, np.array(RATES), thresholds))


def _pairs(evidence: Evidence, plda: Plda) -> tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.integer]]:
    """(P,) scores of pairs of one speaker, (P,) of two, and of the latter which speaker is in them."""
    names = [f"k {name}" for name in evidence.speakers.tolist()]
    names += [f"s {number}" for number in evidence.stranger_speakers.tolist()]
    prints = np.concatenate([evidence.known, evidence.strangers])
    _, speaker = np.unique(names, return_inverse=True)
    first, second = np.triu_indices(len(prints), 1)
    same = speaker[first] == speaker[second]
    rng = np.random.default_rng(0)

    def some(chosen: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        rows = np.flatnonzero(chosen)
        rows = rng.choice(rows, PAIRS, replace=False) if len(rows) > PAIRS else rows
        return first[rows], second[rows]

    a, b = some(same)
    c, d = some(~same)
    return plda.of_pairs(prints[a], prints[b]), plda.of_pairs(prints[c], prints[d]), speaker[c]
