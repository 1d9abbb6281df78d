"""A recogniser that never was: scores drawn around what each speaker would have."""

import numpy as np

from speakerid.evaluation.calibration import reliability
from speakerid.evaluation.detection import det_curve
from speakerid.evaluation.open_set import open_set_curve
from speakerid.evaluation.recognition_measures import Scored, confusions, embedding_map, ranking_row, threshold_row
from speakerid.evaluation.recognition_results import (
    ACCEPTED,
    CLLR,
    DIR,
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

RANKING = (TOP_1, TOP_5, MACRO, EER, MIN_DCF_1, MIN_DCF_5, CLLR, MIN_CLLR, DIR)
OWN = (NAMED_STRANGERS, IDENTIFIED, ACCEPTED, MISSED)


def example(speakers: int = 20, each: int = 12, strangers: int = 8, seed: int = 0, resamples: int = 100) -> Results:
    """Results at three durations, the longer the better."""
    names = [f"speaker {n} of a long name" if n == 3 else f"speaker {n}" for n in range(speakers)]
    scored = {name: scores(speakers, each, strangers, noise, seed) for name, noise in NOISE.items()}
    whole, embeddings = scored["whole"]
    threshold = np.full(speakers * each, 0.5), np.full(strangers * each, 0.5)
    ratios = {name: 10 * (s.known - 0.5) for name, (s, _) in scored.items()}
    top = np.concatenate([whole.known.max(1), whole.strangers.max(1)])
    right = np.concatenate([whole.known.argmax(1) == whole.labels, np.zeros(len(whole.strangers), bool)])
    det = {}
    for name, (one, _) in scored.items():
        utterances, others = one.trials()
        det[name] = det_curve(one.known[utterances, others], others == one.labels[utterances])
    return Results(
        "voices.safetensors <of> somebody",
        ("240 utterances of 20 known speakers, 96 of strangers.", "Test utterances of sessions nobody trained on."),
        (
            Table(
                "By duration",
                "From the middle of each utterance.",
                RANKING,
                tuple(ranking_row(name, s, ratios[name], resamples) for name, (s, _) in scored.items()),
            ),
            Table(
                "At its own thresholds",
                "0.5 throughout.",
                OWN,
                tuple(threshold_row(name, s, *threshold, resamples) for name, (s, _) in scored.items()),
            ),
        ),
        det,
        (0.05, 0.02),
        {name: open_set_curve(s.answers) for name, (s, _) in scored.items()} if strangers else {},
        (0.1, 0.8) if strangers else None,
        confusions(whole.labels, scored["0.5 s"][0].known.argmax(1), names),
        reliability(1 / (1 + np.exp(-10 * (top - 0.5))), right),
        embedding_map(embeddings, np.concatenate([whole.labels, np.full(len(whole.strangers), -1)]), names),
    )


NOISE = {"0.5 s": 1.4, "2 s": 0.8, "whole": 0.55}


def scores(speakers: int, each: int, strangers: int, noise: float, seed: int) -> tuple[Scored, np.ndarray]:
    """Cosines of noisy voices and clean ones, and the noisy voices."""
    rng = np.random.default_rng(seed)
    voices = rng.normal(size=(speakers + strangers, 8))
    said = voices.repeat(each, 0) + noise * rng.normal(size=((speakers + strangers) * each, 8))
    said /= np.linalg.norm(said, axis=1, keepdims=True)
    cosines = said @ (voices[:speakers] / np.linalg.norm(voices[:speakers], axis=1, keepdims=True)).T
    known = speakers * each
    labels = np.arange(speakers).repeat(each)
    return Scored(cosines[:known], labels, cosines[known:], np.arange(strangers).repeat(each)), said
