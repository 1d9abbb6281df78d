"""Answer questions about voices by the rules of a bundle."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from speakerid.base.errors import UserError
from speakerid.recognition import FALSE_ACCEPTS
from speakerid.recognition.bundle import Bundle
from speakerid.recognition.decision import Rule
from speakerid.recognition.results import Answer, OtherEncoder, Verdict, Voice


def check_encoder(bundle: Bundle, voices: Iterable[Voice]) -> None:
    """Check that voices were embedded by the bundle's encoder.

    Raises:
        OtherEncoder: a voice was embedded by another encoder.
    """
    if any(voice.encoder != bundle.encoder for voice in voices):
        raise OtherEncoder


def answer(bundle: Bundle, voice: Voice, false_accepts: float = FALSE_ACCEPTS, top: int = 5) -> Answer:
    """Identify the speaker of a voice; see `Recognizer.answer`."""
    _check_rate(false_accepts)
    if top < 1:
        raise UserError(f"top: found {top}, expected at least 1")
    check_encoder(bundle, [voice])
    indices, scores = bundle.profiles.ranked(voice.voice_print[None])
    rule = bundle.identification
    odds = rule.log_odds(scores, voice.seconds)[0]
    threshold = rule.thresholds.at(voice.seconds, false_accepts)
    names = [bundle.profiles.names[index] for index in indices[0, :top].tolist()]
    probabilities = _probability(odds)
    known = bool(odds[0] >= threshold)
    return Answer(
        "known" if known else "unknown",
        names[0] if known else None,
        float(probabilities[0] if known else max(0.0, 1 - probabilities.sum())),
        tuple(zip(names, probabilities[:top].tolist(), strict=True)),
        voice.seconds,
        float(_probability(np.array(threshold))),
    )


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
