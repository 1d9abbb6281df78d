"""Figures of the recognition page.

Shapes: P points of a curve, C speakers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from speakerid.base.html import Inks, Plot, Size, svg
from speakerid.base.palette import COLORS
from speakerid.evaluation.results import Confusions, EmbeddingMap, Results
from speakerid.metrics.calibration import Reliability
from speakerid.metrics.detection import DetCurve, equal_error_rate
from speakerid.metrics.open_set import OpenSetCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = COLORS[:6]
"""Those that are readable on white and on black."""
MARKERS = "osD^vP"
COLOURED = 12
"""Number of speakers with a color and a name in the map, those with the most utterances."""
STEPS = 400
"""Largest number of points drawn of a curve."""
_TICKS = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
_CROSS: dict[str, Any] = {"markersize": 7, "markeredgewidth": 1.8}
_LETTERS = 14
"""Longest name of a speaker in a figure, in characters."""


@dataclass(frozen=True)
class Picture:
    """A figure, which can be drawn for the page and for a file."""

    name: str
    """Name of the file, without its suffix."""
    title: str
    caption: str
    draw: "Callable[[Axes, Inks], None]"
    size: Size = (4.4, 3.6)

    def plot(self) -> Plot:
        return Plot(self.title, self.caption, svg(self.title, self.draw, self.size))


NAMES = ("det", "open_set", "reliability", "confusions", "embeddings")
"""Names of all possible figures."""


def pictures(results: Results) -> list[Picture]:
    """All figures that the results allow."""
    drawn: list[Picture] = []
    if results.det:
        caption = (
            "Trials of two utterances. In parentheses, and as a dot: the equal error rate, on the convex hull of the "
            "curve, so that the dot may be below the curve."
        )
        if results.det_point:
            caption += " Cross: whole utterances at the recognizer's own threshold."
        drawn.append(Picture("det", "Misses and false accepts", caption, partial(_det, results.det, results.det_point)))
    if results.open_set:
        caption = "Share of known speakers given the right name, by the share of strangers given any name."
        if results.open_set_point:
            caption += " Cross: whole utterances at the recognizer's own threshold."
        draw = partial(_open_set, results.open_set, results.open_set_point)
        drawn.append(Picture("open_set", "Known speakers among strangers", caption, draw))
    if results.reliability:
        errors = (f"{name} {100 * m.expected_calibration_error:.1f} %" for name, m in results.reliability.items())
        caption = (
            "Probability of an answer, and how often it was right, if known speakers and strangers, and trials of one "
            "speaker and of two, are equally frequent; larger dots are of more answers. Expected calibration error: "
            f"{', '.join(errors)}."
        )
        draw = partial(_reliability, results.reliability)
        drawn.append(Picture("reliability", "Reliability of probabilities", caption, draw))
    if (confused := results.confusions) is not None:
        caption = "Number of utterances by true speaker (rows) and by speaker of the highest score (columns)."
        drawn.append(Picture("confusions", "Most confused speakers", caption, partial(_confusions, confused)))
    if (laid_out := results.embeddings) is not None:
        drawn.append(_map_picture(laid_out))
    return drawn


def _map_picture(laid_out: EmbeddingMap) -> Picture:
    strangers = int((laid_out.labels < 0).sum())
    caption = f"{len(laid_out.labels):,} utterances mapped by {laid_out.method}: similar ones are close."
    if len(laid_out.speakers) > COLOURED:
        caption += f" The {COLOURED} speakers with the most utterances are in color, the others in gray."
    if strangers:
        caption += f" Crosses: {strangers:,} utterances of strangers."
    return Picture("embeddings", "Map of the embeddings", caption, partial(_embeddings, laid_out), (6.6, 4.8))


def _det(curves: Mapping[str, DetCurve], point: tuple[float, float] | None, axes: "Axes", inks: Inks) -> None:
    """Draw DET curves on normal-deviate axes, on which normally distributed scores give straight lines."""
    shares = [share for curve in curves.values() for share in _both(curve).ravel() if 0 < share < 0.5]
    low = max(min([*shares, 0.02]), _TICKS[0]) / 1.3
    high = min(0.95, max(0.55, *(1.1 * rate for rate in point or (0.0, 0.0))))
    for (name, curve), colour in zip(curves.items(), _sequence(len(curves)), strict=True):
        within = _thinned(np.clip(_both(curve), low / 2, 1 - low / 2))
        equal = equal_error_rate(curve)
        axes.plot(*ndtri(within), color=colour, linewidth=1.4, label=f"{name} ({100 * equal:.1f} %)")
        # In the corner, unclipped, if it is below the range of the axes, as for perfectly separated scores.
        axes.plot(*ndtri([max(equal, low)] * 2), "o", color=colour, markersize=4, clip_on=equal > low)
    if point is not None:
        axes.plot(
            *ndtri(np.clip(point, 1.05 * low, 0.98 * high)), "x", color=inks.limit, markersize=7, markeredgewidth=1.8
        )
    ends, ticks = ndtri([low, high]), [tick for tick in _TICKS if low <= tick < high]
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(ndtri(ticks), [f"{100 * tick:g}" for tick in ticks])
    axes.set(xlim=ends, ylim=ends, xlabel="false accepts, %", ylabel="misses, %")
    axes.grid(True, axis="both")
    axes.legend(frameon=False, fontsize=8, labelcolor=inks.ink)


def _both(curve: DetCurve) -> NDArray[np.float64]:
    """(2, P) false accepts and misses."""
    return np.stack([curve.false_accepts, curve.misses])


def _open_set(curves: Mapping[str, OpenSetCurve], point: tuple[float, float] | None, axes: "Axes", inks: Inks) -> None:
    lowest = min(0.01, *(share for c in curves.values() for share in c.false_accepts if share > 0))
    lowest = max(lowest, 1e-4) / 1.5
    for (name, curve), colour in zip(curves.items(), _sequence(len(curves)), strict=True):
        # Steps from the right: the share identified at the lowest threshold with no more strangers named.
        shares, identified = curve.false_accepts[::-1], curve.identified[::-1]
        first = np.searchsorted(shares, lowest, "right") - 1
        points = _thinned(np.stack([np.clip(shares, lowest, 1), identified])[:, first:])
        axes.step(*points, where="post", color=colour, linewidth=1.4, label=name)
    if point is not None:
        axes.plot(max(point[0], lowest), point[1], "x", color=inks.limit, **_CROSS)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda share, _: f"{100 * share:g}")
    axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f}")
    axes.minorticks_off()
    axes.set(xlim=(lowest, 1), ylim=(0, 1.02), xlabel="strangers given a name, %", ylabel="given the right name, %")
    axes.grid(True, axis="both")
    axes.legend(frameon=False, fontsize=8, labelcolor=inks.ink)


def _thinned(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Reduce (2, P) points to at most `STEPS`, evenly along the curve, with both ends."""
    if points.shape[1] <= STEPS:
        return points
    along = np.append(0, np.abs(np.diff(points)).sum(0).cumsum())
    chosen = np.searchsorted(along, np.linspace(0, along[-1], STEPS))
    return points[:, np.unique(np.clip(chosen, 0, points.shape[1] - 1))]


def _sequence(count: int) -> Sequence[str]:
    return [COLOURS[place % len(COLOURS)] for place in range(count)]


def _reliability(measured: Mapping[str, Reliability], axes: "Axes", inks: Inks) -> None:
    axes.plot([0, 1], [0, 1], color=inks.faint, linewidth=0.8, linestyle=":")
    for (name, one), colour in zip(measured.items(), _sequence(len(measured)), strict=True):
        filled = one.counts > 0
        predicted, observed, counts = one.predicted[filled], one.observed[filled], one.counts[filled]
        axes.plot(predicted, observed, color=colour, linewidth=1.2, label=name)
        axes.scatter(predicted, observed, s=10 + 90 * counts / counts.max(), color=colour, linewidths=0, zorder=3)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda share, _: f"{100 * share:.0f}")
    axes.set(xlim=(-0.03, 1.04), ylim=(-0.03, 1.04), xlabel="probability, %", ylabel="came true, %")
    axes.grid(True, axis="both")
    axes.legend(frameon=False, fontsize=8, labelcolor=inks.ink, loc="upper left")


def _confusions(confused: Confusions, axes: "Axes", inks: Inks) -> None:
    from matplotlib.patches import Rectangle

    counts, speakers = confused.counts, len(confused.speakers)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    for row, column in zip(*np.nonzero(counts), strict=True):
        ink = inks.bar if row == column else inks.limit
        corner, alpha = (column - 0.5, row - 0.5), 0.15 + 0.6 * shares[row, column]
        axes.add_patch(Rectangle(corner, 1, 1, facecolor=ink, alpha=alpha, linewidth=0))
        axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", fontsize=7, color=inks.ink)
    names = [_short(name) for name in confused.speakers]
    axes.set_yticks(range(speakers), names, fontsize=7)
    axes.set_xticks(
        range(speakers + 1), [*names, "others"], fontsize=7, rotation=60, ha="right", rotation_mode="anchor"
    )
    axes.set(xlim=(-0.5, speakers + 0.5), ylim=(speakers - 0.5, -0.5))
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines["bottom"].set_visible(False)


def _embeddings(laid_out: EmbeddingMap, axes: "Axes", inks: Inks) -> None:
    labels, points = laid_out.labels, laid_out.points
    speakers, counts = np.unique(labels[labels >= 0], return_counts=True)
    coloured = np.sort(speakers[np.argsort(-counts, kind="stable")[:COLOURED]])
    grey = (labels >= 0) & ~np.isin(labels, coloured)
    axes.scatter(*points[grey].T, s=7, color=inks.faint, alpha=0.45, linewidths=0)
    axes.scatter(*points[labels < 0].T, s=12, marker="x", color=inks.limit, linewidths=0.8)
    for place, speaker in enumerate(coloured):
        own = points[labels == speaker]
        marker = MARKERS[place // len(COLOURS)]
        name = _short(laid_out.speakers[speaker])
        axes.scatter(*own.T, s=13, marker=marker, color=COLOURS[place % len(COLOURS)], linewidths=0, label=name)
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    axes.legend(frameon=False, fontsize=7, labelcolor=inks.ink, loc="center left", bbox_to_anchor=(1, 0.5))


def _short(name: str) -> str:
    return name if len(name) <= _LETTERS else f"{name[: _LETTERS - 1]}…"
