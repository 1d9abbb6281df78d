"""Results of evaluating a recognizer on labeled utterances, as tables, text and JSON.

Shapes: C speakers, P points.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from textwrap import wrap

import numpy as np
from numpy.typing import NDArray

from speakerid.metrics.calibration import Reliability
from speakerid.metrics.detection import DetCurve
from speakerid.metrics.open_set import OpenSetCurve
from speakerid.recognition import FALSE_ACCEPTS

DASH = "–"
_WIDTH = len("0.000–0.000")
"""Width of a column in a terminal."""


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Measure:
    """A column of a table."""

    name: str
    """Key in JSON."""
    title: str
    percent: bool
    meaning: str

    def text(self, value: float) -> str:
        digits, shown = (1, 100 * value) if self.percent else (3, value)
        return f"{round(shown, digits) + 0.0:.{digits}f}"  # adding 0.0 removes the sign of a negative zero


TOP_1 = Measure("top_1", "top 1, %", True, "utterances whose highest score is the right speaker's")
TOP_5 = Measure("top_5", "top 5, %", True, "utterances whose five highest scores include the right speaker's")
MACRO = Measure(
    "macro_accuracy", "macro, %", True, "top 1 averaged over speakers, so that every speaker has the same weight"
)
EER = Measure("eer", "EER, %", True, "error rate at which false accepts and misses are equal (convex hull)")
MIN_DCF_1 = Measure(
    "min_dcf_0.01", "minDCF .01", False, "lowest detection cost if one trial in 100 is a target, normalized"
)
MIN_DCF_5 = Measure(
    "min_dcf_0.05", "minDCF .05", False, "lowest detection cost if one trial in 20 is a target, normalized"
)
CLLR = Measure("cllr", "Cllr, bit", False, "cost of the log-likelihood ratios over all thresholds; 1 is uninformative")
MIN_CLLR = Measure("min_cllr", "min Cllr", False, "the same after perfect calibration")
DIR = Measure(
    "dir_at_far_0.01",
    f"DIR, %, at {100 * FALSE_ACCEPTS:g} % FAR",
    True,
    f"utterances given the right name if {100 * FALSE_ACCEPTS:g} % of the strangers' are given any",
)
NAMED_STRANGERS = Measure("false_accept", "strangers named, %", True, "strangers' utterances that are given a name")
IDENTIFIED = Measure("identified", "identified, %", True, "known speakers' utterances that are given the right name")
PROMISED_IDENTIFIED = Measure(
    "promised_identified", "promised identified, %", True, "what `export` expected of utterances cut to this duration"
)
PROMISED_STRANGERS = Measure("promised_false_accept", "promised strangers, %", True, "the same of strangers named")
ACCEPTED = Measure("verification_false_accept", "false accepts, %", True, "trials of two speakers that are accepted")
MISSED = Measure("verification_miss", "misses, %", True, "trials of one speaker that are refused")
ECE = Measure("calibration_error", "ECE, %", True, "mean difference between probabilities and observed frequencies")
BY_SESSION = (TOP_1, TOP_5, MACRO, EER, MIN_DCF_1, DIR, NAMED_STRANGERS, IDENTIFIED, ECE)
IDENTIFICATION = (*BY_SESSION[:-1], PROMISED_STRANGERS, PROMISED_IDENTIFIED, ECE)
VERIFICATION = (EER, MIN_DCF_1, MIN_DCF_5, CLLR, MIN_CLLR, ACCEPTED, MISSED, ECE)
"""Columns of tables."""


@dataclass(frozen=True)
class Row:
    """A row of a table."""

    name: str
    size: str
    """Number of utterances or trials."""
    estimates: Mapping[Measure, Estimate]
    """Without measures that cannot be computed."""


@dataclass(frozen=True)
class Table:
    """A table of figures."""

    title: str
    caption: str
    measures: tuple[Measure, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True, eq=False)
class Confusions:
    """Confusion matrix of the speakers that are confused most often."""

    speakers: tuple[str, ...]
    counts: NDArray[np.int64]
    """(C, C + 1) number of utterances by true and by predicted speaker; the last column is all others."""


@dataclass(frozen=True, eq=False)
class EmbeddingMap:
    """Two-dimensional map of embeddings."""

    points: NDArray[np.float64]
    """(P, 2)"""
    labels: NDArray[np.integer]
    """(P,) indices into `speakers`, negative for strangers."""
    speakers: tuple[str, ...]
    method: str
    """Name of the method."""


@dataclass(frozen=True)
class Results:
    """Content of the page."""

    title: str
    facts: tuple[str, ...]
    """Sentences that say what was evaluated on what."""
    tables: tuple[Table, ...]
    det: Mapping[str, DetCurve] = field(default_factory=dict)
    """DET curves by duration."""
    det_point: tuple[float, float] | None = None
    """False-accept and miss rate at the recognizer's own threshold."""
    open_set: Mapping[str, OpenSetCurve] = field(default_factory=dict)
    """Open-set curves by duration; empty without strangers."""
    open_set_point: tuple[float, float] | None = None
    """Strangers named and known speakers identified at the recognizer's own threshold."""
    confusions: Confusions | None = None
    reliability: Mapping[str, Reliability] = field(default_factory=dict)
    """Reliability of the probabilities of each kind of answer."""
    embeddings: EmbeddingMap | None = None

    def as_json(self) -> dict[str, object]:
        """The tables as plain data."""
        return {"title": self.title, "facts": list(self.facts), "tables": [_table_json(t) for t in self.tables]}

    def as_text(self) -> str:
        """The tables for a terminal, with the intervals below the figures."""
        return "\n\n".join(_table_text(table) for table in self.tables)


def _table_json(table: Table) -> dict[str, object]:
    rows = []
    for row in table.rows:
        measured = {
            measure.name: {name: _json_number(number) for name, number in vars(estimate).items()}
            for measure, estimate in row.estimates.items()
        }
        rows.append({"name": row.name, "size": row.size, **measured})
    return {"title": table.title, "rows": rows}


def _json_number(number: float) -> float | str | None:
    """A number for JSON: NaN becomes null, infinity a string."""
    if math.isnan(number):
        return None
    return number if math.isfinite(number) else str(number)


def _table_text(table: Table) -> str:
    first = max(len(row.name) for row in table.rows) + 2
    size = max(len(row.size) for row in table.rows) + 2
    wrapped = [wrap(measure.title, _WIDTH) for measure in table.measures]
    lines = [table.title]
    for level in range(max(map(len, wrapped)), 0, -1):  # titles end above their columns
        words = (title[-level] if len(title) >= level else "" for title in wrapped)
        lines.append(" " * (first + size) + "".join(f"{word:>{_WIDTH + 2}}" for word in words))
    for row in table.rows:
        cells = [cell(row, measure) for measure in table.measures]
        figures = "".join(f"{figure:>{_WIDTH + 2}}" for figure, _ in cells)
        bounds = "".join(f"{interval:>{_WIDTH + 2}}" for _, interval in cells)
        lines += [f"{row.name:<{first}}{row.size:<{size}}{figures}", " " * (first + size) + bounds]
    return "\n".join(line.rstrip() for line in lines)


def cell(row: Row, measure: Measure) -> tuple[str, str]:
    """A figure and its interval as text."""
    estimate = row.estimates.get(measure)
    if estimate is None:
        return DASH, ""
    if math.isnan(estimate.low):
        return measure.text(estimate.value), ""
    return measure.text(estimate.value), f"{measure.text(estimate.low)}–{measure.text(estimate.high)}"
