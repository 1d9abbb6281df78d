"""Plots of the corpus report."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from speakerid.base.html import PAGE_INKS, Plot, svg
from speakerid.base.printing import counted
from speakerid.preparation.quality.findings import (
    CLIPPED_SHARE,
    LITTLE_SECONDS,
    LITTLE_UTTERANCES,
    NOISY_DB,
    SILENCE_SHARE,
    Examined,
    by_speaker,
)
from speakerid.preparation.quality.report import sizes_of_sessions

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SINGLE_BARS = 60
"""Maximum number of speakers or sessions to draw as separate bars; more are drawn as one outline."""
OUTLINE = 500
"""Maximum number of steps of an outline."""
BINS = 40
"""Number of bars of a histogram."""
OUTERMOST = 0.005
"""Share of the recordings at either end that are clipped to the outermost bars of a histogram."""
_FAINT, _BAR, _LIMIT = PAGE_INKS.faint, PAGE_INKS.bar, PAGE_INKS.limit


def plots(examined: Examined) -> list[Plot]:
    """Draw all plots; the same bytes for the same recordings."""
    measured, speakers = examined.measured, by_speaker(examined)
    sound = [
        sum(measured[i].seconds * (1 - measured[i].silence) for i in indices) / 60 for indices in speakers.values()
    ]
    return [
        _plot(
            "Minutes of sound per speaker",
            f"{counted(len(sound), 'speaker')}, longest first, without silence. "
            f"Dashed: minimum of {LITTLE_SECONDS:.0f} s.",
            _profile,
            sound,
            LITTLE_SECONDS / 60,
        ),
        _utterances([count for count, _ in sizes_of_sessions(examined).values()], speakers),
        _plot(
            "Length",
            "Seconds per recording, including silence.",
            _histogram,
            [recording.seconds for recording in measured],
        ),
        _plot(
            "Sample rate",
            "Recordings per sample rate. A rate that only some speakers have identifies them.",
            _counts,
            Counter(f"{recording.sample_rate:,} Hz" for recording in measured),
        ),
        _plot(
            "Level",
            "RMS without silence, in dB of full scale.",
            _histogram,
            [recording.level_db for recording in measured],
        ),
        _plot(
            "Signal-to-noise ratio",
            f"Estimate in dB. Dashed: {NOISY_DB:.0f} dB, below which a recording is noisy.",
            _histogram,
            [recording.snr_db for recording in measured],
            NOISY_DB,
        ),
        _plot(
            "Silence",
            f"Percent of a recording. Dashed: {100 * SILENCE_SHARE:.0f} %, above which it is mostly silence.",
            _histogram,
            [100 * recording.silence for recording in measured],
            100 * SILENCE_SHARE,
        ),
        _clipping(np.array([100 * recording.clipped for recording in measured])),
    ]


def _utterances(sessions: list[int], speakers: dict[str, list[int]]) -> Plot:
    if sessions:
        return _plot(
            "Utterances per session", f"{counted(len(sessions), 'session')}, largest first.", _profile, sessions
        )
    return _plot(
        "Utterances per speaker",
        f"{counted(len(speakers), 'speaker')}, largest first. Dashed: minimum of {LITTLE_UTTERANCES}.",
        _profile,
        [len(indices) for indices in speakers.values()],
        LITTLE_UTTERANCES,
    )


def _clipping(percent: NDArray[np.float64]) -> Plot:
    some = percent[percent > 0]
    caption = f"{len(some):,} of {counted(len(percent), 'recording')} reach full scale"
    if not len(some):
        return Plot("Clipping", f"{caption}.", "")
    limit = 100 * CLIPPED_SHARE
    caption += f": percent of their samples. Dashed: {limit:.1f} %, above which a recording is clipped."
    return _plot("Clipping", caption, _logarithmic_histogram, some, limit)


def _plot(title: str, caption: str, draw: Callable[..., None], *arguments: object) -> Plot:
    """Create a figure and draw it by `draw(axes, *arguments)`."""
    return Plot(title, caption, svg(title, lambda axes, inks: draw(axes, *arguments)))


def _profile(axes: "Axes", values: Sequence[float], limit: float | None = None) -> None:
    """Draw the values in descending order."""
    ordered = np.sort(np.asarray(values, np.float64))[::-1]
    if len(ordered) <= SINGLE_BARS:
        axes.bar(np.arange(len(ordered)) + 0.5, ordered, width=0.8, color=_BAR)
    else:
        edges = np.linspace(0, len(ordered), min(len(ordered), OUTLINE) + 1)
        axes.stairs(ordered[edges[:-1].astype(int)], edges, fill=True, color=_BAR)
    axes.set_xlim(0, len(ordered))
    axes.locator_params(axis="both", integer=True, nbins=6)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    if limit is not None:
        axes.axhline(limit, color=_LIMIT, linewidth=1, linestyle="--")


def _histogram(axes: "Axes", values: Sequence[float], limit: float | None = None) -> None:
    low, high = np.quantile(values, [OUTERMOST, 1 - OUTERMOST])
    if high - low < 1e-6:
        low, high = low - 0.5, high + 0.5
    counts, edges = np.histogram(np.clip(values, low, high), BINS, (low, high))
    axes.stairs(counts, edges, fill=True, color=_BAR)
    axes.locator_params(axis="y", integer=True, nbins=5)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    if limit is not None:
        axes.axvline(limit, color=_LIMIT, linewidth=1, linestyle="--")


def _logarithmic_histogram(axes: "Axes", values: NDArray[np.float64], limit: float) -> None:
    edges = np.geomspace(min(values.min(), limit) / 1.5, max(values.max(), limit) * 1.5, BINS + 1)
    axes.stairs(np.histogram(values, edges)[0], edges, fill=True, color=_BAR)
    axes.locator_params(axis="y", integer=True, nbins=5)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.axvline(limit, color=_LIMIT, linewidth=1, linestyle="--")


def _counts(axes: "Axes", counts: "Counter[str]") -> None:
    ordered = counts.most_common(8)[::-1]
    bars = axes.barh([name for name, _ in ordered], [count for _, count in ordered], height=0.6, color=_BAR)
    axes.bar_label(bars, [f"{count:,}" for _, count in ordered], padding=4, color=_FAINT)
    axes.set_ylim(len(ordered) - max(4, len(ordered)) - 0.5, len(ordered) - 0.5)
    axes.margins(x=0.15)
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(bottom=False, labelbottom=False)
