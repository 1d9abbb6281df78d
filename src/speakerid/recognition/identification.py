"""Answer questions about voices by the rules of a bundle."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from speakerid.base.errors import UserError
from speakerid.recognition import FALSE_ACCEPTS
from speakerid.recognition.bundle import Bundle
from speakerid.recognition.decision import Rule
from speakerid.recognition.results import Answer, OtherEncoder, Verdict, Voice

MIXED = 0.1
"""Probability of one speaker below which two voices are clearly of two."""


def check_encoder(bundle: Bundle, voices: Iterable[Voice]) -> None:
    """Check that voices were embedded by the bundle's encoder.

    Raises:
        OtherEncoder: a voice was embedded by another encoder.
    """
    if any(voice.encoder != bundle.encoder for voice in voices):
        raise OtherEncoder


def answer(bundle: Bundle, voice: Voice, false_accepts: float = FALSE_ACCEPTS, top: int = 5) -> Answer:
    """Identify the speaker of a voice; see `Recognizer.answer`."""
    return answers(bundle, [voice], false_accepts, top)[0]


def answers(
    bundle: Bundle, voices: Sequence[Voice], false_accepts: float = FALSE_ACCEPTS, top: int = 5
) -> list[Answer]:
    """`answer` for each of several voices, which are scored together."""
    _check_rate(false_accepts)
    if top < 1:
        raise UserError(f"top: found {top}, expected at least 1")
    check_encoder(bundle, voices)
    if not voices:
        return []
    indices, scores = bundle.profiles.ranked(np.stack([voice.voice_print for voice in voices]))
    rule, seconds = bundle.identification, np.array([voice.seconds for voice in voices])
    odds = rule.log_odds(scores, seconds)
    thresholds = rule.thresholds.at(seconds, false_accepts)
    known, probabilities = odds[:, 0] >= thresholds, _probability(odds)
    named = np.where(known, probabilities[:, 0], np.maximum(0.0, 1 - probabilities.sum(1))).tolist()
    least = _probability(thresholds).tolist()
    found = []
    for row, voice in enumerate(voices):
        names = [bundle.profiles.names[index] for index in indices[row, :top].tolist()]
        ranking = tuple(zip(names, probabilities[row, :top].tolist(), strict=True))
        said, name = ("known", names[0]) if known[row] else ("unknown", None)
        found.append(Answer(said, name, named[row], ranking, voice.seconds, least[row]))
    return found


def verdict(bundle: Bundle, one: Voice, other: Voice, false_accepts: float = FALSE_ACCEPTS) -> Verdict:
    """Decide whether two voices are of one speaker; see `Recognizer.verify`."""
    _check_rate(false_accepts)
    rule = verification_rule(bundle)
    check_encoder(bundle, [one, other])
    seconds = min(one.seconds, other.seconds)
    score = float(bundle.profiles.plda.score_pairs(one.voice_print, other.voice_print))
    odds = rule.log_odds(np.array([[score]]), seconds)[0, 0]
    threshold = rule.thresholds.at(seconds, false_accepts)
    probability, least = _probability(np.array([odds, threshold])).tolist()
    return Verdict(bool(odds >= threshold), score, probability, least, seconds)


def clearly_apart(bundle: Bundle, voices: Sequence[Voice]) -> bool:
    """Whether there are several voices, and every two of them are clearly of two speakers."""
    pairs = combinations(voices, 2)
    return len(voices) > 1 and all(verdict(bundle, one, other).probability < MIXED for one, other in pairs)


def verification_rule(bundle: Bundle) -> Rule:
    """Rule for pairs of recordings.

    Raises:
        UserError: the bundle has no such rule, since it was fitted on too few recordings.
    """
    if bundle.verification is None:
        raise UserError(
            "verify: no two recordings of one speaker were left to fit a threshold on; train with a larger "
            "data.valid_fraction, or prepare with --strangers, and export again"
        )
    return bundle.verification


def _check_rate(false_accepts: float) -> None:
    if not 0 < false_accepts < 1:
        raise UserError(f"false_accepts: found {false_accepts!r:.40}, expected a share between 0 and 1")


def _probability(log_odds: NDArray[np.floating]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-log_odds))
