"""Estimate the gain from more recordings: a learning curve of a corpus, predictions, and a sentence.

Shapes: N recordings, A amounts, R resamples, P plans.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speakerid.base.errors import UserError
from speakerid.corpus.store import FrameStore
from speakerid.corpus.utterances import Corpus
from speakerid.evaluation.extrapolation import interval, predict
from speakerid.evaluation.learning_curve import Amount, LearningCurve, Recordings
from speakerid.metrics import bootstrap_interval
from speakerid.recognition.recognizer import Recognizer

MORE_RECORDINGS = 5
MICROPHONE = (
    "Another microphone: not estimated, since a corpus does not say which recordings are of one; `prepare "
    "--occasions` simulates rooms and microphones, one for each session."
)
ONE_DAY = (
    "Another day: cannot be estimated, since no recordings of a second day show how much a voice and its room change; "
    "accuracy within a day, as above, is higher than on other days."
)


@dataclass(frozen=True)
class Row:
    """An accuracy with its 95 % interval."""

    label: str
    amount: Amount
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True)
class Plan:
    """Measured and predicted accuracies."""

    title: str
    measured: Sequence[Row]
    predicted: Sequence[Row]
    """The first is for all that there is now."""
    gains: Sequence[Row]
    """Differences of the other predictions from the first."""
    sentences: Sequence[str]
    recording_seconds: float

    def as_text(self) -> list[str]:
        """Lines of a table, and the sentences."""
        lines = [self.title, "", f"{'days':>4}  {'recordings':>10}  {'minutes':>7}  identified"]
        for row in (*self.measured, *self.predicted):
            minutes = row.amount.days * row.amount.each * self.recording_seconds / 60
            label = f"  {row.label}" if row.label else ""
            lines.append(
                f"{row.amount.days:>4}  {row.amount.days * row.amount.each:>10g}  {minutes:>7.1f}  "
                f"{100 * row.accuracy:>5.1f} % ({100 * row.low:.1f} to {100 * row.high:.1f}){label}"
            )
        return [*lines, "", *self.sentences]

    def as_json(self) -> dict[str, Any]:
        """The same as plain data."""

        def plain(rows: Sequence[Row]) -> list[dict[str, Any]]:
            return [
                {
                    "label": row.label, "days": row.amount.days, "recordings_per_day": row.amount.each,
                    "accuracy": round(row.accuracy, 4), "low": round(row.low, 4), "high": round(row.high, 4),
                }
                for row in rows
            ]  # fmt: skip

        return {
            "title": self.title, "measured": plain(self.measured), "predicted": plain(self.predicted),
            "gains": plain(self.gains), "sentences": list(self.sentences),
            "recording_seconds": round(self.recording_seconds, 3),
        }  # fmt: skip


def recordings_of(
    corpus: Corpus, store: FrameStore, recognizer: Recognizer | None, advance: Callable[[int], None]
) -> Recordings:
    """Labelled recordings of a corpus, without augmented copies and company.

    Args:
        corpus: the corpus.
        store: its labelled frames.
        recognizer: makes voice prints; by default, features are mean and standard deviation of every band.
        advance: called with numbers of recordings that are done.

    Raises:
        UserError: the recognizer has other features, or was trained on speakers of the corpus.
    """
    from speakerid.evaluation.baseline import statistics

    utterances, rows = corpus.labelled, corpus.labelled.held_out_from
    if recognizer is None:
        features = statistics(store, rows.tolist())
        advance(len(rows))
    else:
        _check(recognizer, corpus)
        prints = []
        for row in rows.tolist():
            prints.append(recognizer.embed_features([store.utterance(row).float().numpy()])[0])
            advance(1)
        features = np.stack(prints).astype(np.float64)
    speakers = utterances.speakers[rows]
    # Sessions are never shared by speakers, except for that of all unknown ones.
    sessions = np.where(utterances.sessions[rows] < 0, -1 - speakers, utterances.sessions[rows])
    return Recordings(features, speakers, sessions, utterances.lengths[rows] / corpus.features.frames_per_second)


def _check(recognizer: Recognizer, corpus: Corpus) -> None:
    if recognizer.bundle.features != corpus.features:
        raise UserError("--bundle: has other features than the corpus; export one trained on such features")
    profiles = recognizer.bundle.profiles
    names = {name for name, trained in zip(profiles.names, profiles.trained, strict=True) if trained}
    if common := sorted(names & set(corpus.speakers)):
        raise UserError(
            f"--bundle: was trained on {len(common)} speakers of the corpus, such as {common[0]!r}, and has memorized "
            "their recordings; give a bundle of other people, or none"
        )


def plan(curve: LearningCurve, how: str) -> Plan:
    """Predict what more recordings would bring.

    Args:
        curve: what was measured.
        how: what identifies, in words.
    """
    now = curve.most
    more = Amount(now.days, now.each + MORE_RECORDINGS / now.days)
    plans = {"all there is": now, "five more recordings": more}
    if curve.other_days:
        plans["another day"] = Amount(now.days + 1, now.each)
    expected, values = predict(curve, list(plans.values()))
    predicted = _rows(list(plans), list(plans.values()), expected, values)
    gains = _rows(list(plans), list(plans.values()), expected - expected[0], values - values[:, :1])[1:]
    where = "a day they were not recorded on" if curve.other_days else "the end of the day they were recorded on"
    left_out = f"; {curve.left_out} with fewer days are left out" if curve.left_out else ""
    title = (
        f"{len(curve.speakers)} speakers with {now.days} {'days' if now.days > 1 else 'day'}{left_out}. "
        f"Identified by {how}, on {where}:"
    )
    sentences = [_sentence(gains), *([] if curve.other_days else [ONE_DAY]), MICROPHONE]
    return Plan(title, _measured(curve), predicted, gains, sentences, curve.recording_seconds)


def _measured(curve: LearningCurve) -> list[Row]:
    speakers = np.arange(curve.hits.shape[1])
    low, high = bootstrap_interval(lambda drawn: curve.hits @ drawn / drawn.sum(), speakers)
    means = curve.hits.mean(1)
    return [
        Row("", a, float(m), float(b), float(c)) for a, m, b, c in zip(curve.amounts, means, low, high, strict=True)
    ]


def _rows(
    labels: Sequence[str], amounts: Sequence[Amount], expected: NDArray[np.float64], values: NDArray[np.float64]
) -> list[Row]:
    low, high = interval(values)
    columns = zip(labels, amounts, expected.tolist(), low.tolist(), high.tolist(), strict=True)
    return [Row(f"predicted: {label}", amount, *numbers) for label, amount, *numbers in columns]


def _sentence(gains: Sequence[Row]) -> str:
    """Gains in points, the largest first."""
    ordered = sorted(gains, key=lambda row: -row.accuracy)
    parts = [
        f"{row.label.removeprefix('predicted: ')} of every speaker would bring {100 * row.accuracy:.1f} points "
        f"({100 * row.low:.1f} to {100 * row.high:.1f})"
        for row in ordered
    ]
    text = ", ".join(parts)
    return f"{text[0].upper()}{text[1:]}."
