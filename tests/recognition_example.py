"""Results of a simulated recognizer: scores drawn around a mean for each speaker."""

import numpy as np
from numpy.typing import NDArray

from speakerid.evaluation.embedding_map import EmbeddingMap, embedding_map
from speakerid.evaluation.measures import (
    Decided,
    Scored,
    ScoredPairs,
    confusions,
    identification_row,
    verification_row,
)
from speakerid.evaluation.results import (
    ACCEPTED,
    CLLR,
    DIR,
    ECE,
    EER,
    IDENTIFIED,
    MACRO,
    MIN_CLLR,
    MIN_DCF_1,
    MIN_DCF_5,
    MISSED,
    NAMED_STRANGERS,
    TOP_1,
    TOP_5,
    Results,
    Table,
)
from speakerid.metrics.detection import det_curve
from speakerid.metrics.open_set import Answers, open_set_curve

IDENTIFICATION = (TOP_1, TOP_5, MACRO, EER, MIN_DCF_1, DIR, NAMED_STRANGERS, IDENTIFIED, ECE)
VERIFICATION = (EER, MIN_DCF_1, MIN_DCF_5, CLLR, MIN_CLLR, ACCEPTED, MISSED, ECE)


def example(speakers: int = 20, each: int = 12, strangers: int = 8, seed: int = 0, resamples: int = 100) -> Results:
    """Results at three durations; longer is better."""
    names = [f"speaker {n} of a long name" if n == 3 else f"speaker {n}" for n in range(speakers)]
    said = {name: voices(speakers, each, strangers, noise, seed) for name, noise in NOISE.items()}
    scored = {name: scores(prints, speakers, each, strangers) for name, prints in said.items()}
    decided = {name: decisions(one) for name, one in scored.items()}
    who = np.arange(speakers + strangers).repeat(each)
    pairs = {name: pairs_of(prints, who) for name, prints in said.items()}
    drawn = embedding_map(said["whole"], np.where(who < speakers, who, -1), names)
    assert isinstance(drawn, EmbeddingMap)
    return Results(
        "voices.safetensors <of> somebody",
        ("240 utterances of 20 known speakers, 96 of strangers.", "Test utterances of sessions nobody trained on."),
        (
            Table(
                "Who is it?",
                "From the middle of each utterance.",
                IDENTIFICATION,
                tuple(identification_row(name, one, decided[name], resamples) for name, one in scored.items()),
            ),
            Table(
                "Is it one speaker?",
                "Pairs.",
                VERIFICATION,
                tuple(verification_row(name, one, who, resamples) for name, one in pairs.items()),
            ),
        ),
        {name: det_curve(one.scores, one.targets) for name, one in pairs.items()},
        (0.05, 0.02),
        {name: open_set_curve(one.answers) for name, one in decided.items()} if strangers else {},
        (0.1, 0.8) if strangers else None,
        confusions(scored["0.5 s"].labels, scored["0.5 s"].known.argmax(1), names),
        {"identification": decided["whole"].reliability()} if strangers else {},
        drawn,
    )


NOISE = {"0.5 s": 1.4, "2 s": 0.8, "whole": 0.55}


def voices(speakers: int, each: int, strangers: int, noise: float, seed: int) -> NDArray[np.float64]:
    """Voices of all utterances: known speakers first, then strangers."""
    rng = np.random.default_rng(seed)
    clean = rng.normal(size=(speakers + strangers, 8))
    said = clean.repeat(each, 0) + noise * rng.normal(size=((speakers + strangers) * each, 8))
    return said / np.linalg.norm(said, axis=1, keepdims=True)


def scores(said: NDArray[np.float64], speakers: int, each: int, strangers: int) -> Scored:
    """Cosines between utterances and the mean of each known speaker."""
    known, labels = said[: speakers * each], np.arange(speakers).repeat(each)
    means = np.stack([known[labels == speaker].mean(0) for speaker in range(speakers)])
    cosines = said @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T
    return Scored(cosines[: len(known)], labels, cosines[len(known) :], np.arange(strangers).repeat(each))


def decisions(scored: Scored) -> Decided:
    answers = scored.answers
    odds = Answers(20 * (answers.known - 0.8), answers.right, 20 * (answers.strangers - 0.8))
    return Decided(odds, np.full(len(odds.known), 1.0), np.full(len(odds.strangers), 1.0))


def pairs_of(said: NDArray[np.float64], who: NDArray[np.integer]) -> ScoredPairs:
    first, second = (rows[::7] for rows in np.triu_indices(len(who), 1))
    cosines = (said[first] * said[second]).sum(1)
    return ScoredPairs(
        cosines, who[first] == who[second], first, second, 10 * (cosines - 0.6), np.full(len(first), 1.0)
    )
