"""Plot one or more runs: loss and accuracy of training and validation over the steps."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from speakerid.base.errors import UserError
from speakerid.base.files import StrPath, atomic_file
from speakerid.base.palette import COLORS
from speakerid.base.printing import counted, printable
from speakerid.training.metrics_log import Log, Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

FORMATS = (".png", ".svg", ".pdf")
SMOOTHED_SHARE = 0.02
"""Share of the longest run's steps over which the figures of training are averaged."""
DIVERGED = 1.5
"""Upper end of the loss axis, as a multiple of the greatest initial loss of a run."""
FEW = 20
"""Largest number of points for which every point has a marker."""
WIDE = 60
"""Longest legend entry, in characters, for a legend of two columns."""

# Markers distinguish lines of similar color, and dashes distinguish them between the markers.
_MARKERS = "osD^vPX<>*"
_DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)))
SHOWN = len(_MARKERS)
"""Number of runs in color, the best ones; the others are gray."""

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Steps, and the value at each step."""


def plot_runs(logs: Mapping[str, Log], folder: StrPath, path: StrPath) -> None:
    """Plot runs to a file.

    Args:
        logs: the log of each run by its name, the best first; runs that have logged nothing yet are left out.
        folder: folder of the runs, for the title.
        path: a .png, .svg or .pdf file.

    Raises:
        UserError: another format, nothing to plot, or the file cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise UserError(f"{path}: found the format {path.suffix!r}, expected one of {', '.join(FORMATS)}")
    drawn = [
        (_label(name, log), log)
        for name, log in logs.items()
        if any(len(_curve(log.records, y)[0]) for y in ("loss", "accuracy"))
    ]
    if not drawn:
        raise UserError(f"{folder}: nothing to plot: no run has logged a loss or an accuracy yet")

    from matplotlib import rc_context, rcdefaults, rcParams  # takes half a second to import
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with rc_context():
        rcdefaults()
        rcParams.update(_STYLE)
        figure = Figure(layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.06))
        window = max(max(SMOOTHED_SHARE * log.records[-1].step, _interval(log)) for _, log in drawn)
        loss, accuracy = figure.subplots(1, 2, sharex=True)
        _draw(loss, "loss", drawn, window)
        handles = _draw(accuracy, "accuracy", drawn, window)
        if len(drawn) > SHOWN:
            handles = handles[: SHOWN + 1]
            handles[-1].set_label(f"{len(drawn) - SHOWN:,} others")
        columns = 2 if len(handles) > 3 and max(len(str(line.get_label())) for line in handles) <= WIDE else 1
        figure.set_size_inches(11, 4.8 + 0.22 * len(handles) / columns)
        figure.suptitle(_title(len(drawn), str(folder)))
        figure.legend(handles=handles, title="best validation accuracy", loc="outside lower center", ncols=columns)
        loss.legend(handles=_key(loss, window), loc="upper right")
        with atomic_file(path) as partial:
            figure.savefig(partial, format=suffix[1:], dpi=120)


_STYLE: dict[Any, Any] = {
    "font.size": 10, "text.parse_math": False, "axes.axisbelow": True, "axes.grid": True, "grid.alpha": 0.3,
    "axes.spines.top": False, "axes.spines.right": False, "lines.linewidth": 1.4, "lines.markersize": 5,
    "legend.frameon": False, "pdf.fonttype": 42,
}  # fmt: skip
_TRAINING: dict[str, Any] = {"linewidth": 0.8, "alpha": 0.7, "marker": ""}


def _interval(log: Log) -> float:
    """Steps that a line of the log is the mean over, about."""
    training = [record.step for record in log.records if record.part == "train"]
    return training[-1] / len(training) if training else 0


def _title(count: int, folder: str) -> str:
    runs = f"{counted(count, 'run')} in {_shortened(folder)}"
    return f"{runs}, the best {SHOWN} in color" if count > SHOWN else runs


def _label(name: str, log: Log) -> str:
    best = f"{log.ranked[0].accuracy:.4f}" if log.ranked else "no validation"
    return f"{best}  {_shortened(name)}"


def _draw(axes: "Axes", name: str, runs: Sequence[tuple[str, Log]], window: float) -> "list[Line2D]":
    """Plot the loss or the accuracy of runs; returns the lines for the legend."""
    lines: list[Line2D] = []
    first = [0.0]
    for index, (label, log) in reversed(list(enumerate(runs))):  # the best drawn last, over the others
        train, valid = _curve(log.train, name), _curve(log.valid, name)
        axes.plot(train[0], _smoothed(train, window), **_style(index, train) | _TRAINING)
        lines += axes.plot(*valid, **_style(index, valid), label=label)
        first += [values[0] for _, values in (train, valid) if len(values)]
    low, high = axes.get_ylim()
    if name == "accuracy":
        axes.set_ylim(max(low, 0), min(high, 1))
    elif max(first):
        axes.set_ylim(0, min(high, DIVERGED * max(first)))
    axes.set(xlabel="step", ylabel=name)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    return lines[::-1]


def _key(axes: "Axes", window: float) -> "list[Line2D]":
    """Lines that tell training from validation, for a legend."""
    training = f"training, mean over {window:,.0f} steps" if window >= 2 else "training"
    gray: dict[str, Any] = {"color": "0.4"}
    return [
        *axes.plot([], [], label=training, **gray | _TRAINING),
        *axes.plot([], [], "o-", label="validation", **gray),
    ]


def _shortened(name: str) -> str:
    name = printable(name)
    return name if len(name) <= 2 * WIDE else "…" + name[-2 * WIDE :]


def _style(index: int, curve: Curve) -> dict[str, Any]:
    if index >= SHOWN:
        return {"color": "0.8", "linewidth": 0.8, "zorder": 1}
    return {
        "color": COLORS[index % len(COLORS)],
        "linestyle": _DASHES[index // len(COLORS)],
        "marker": _MARKERS[index],
        # A tenth of the axes apart, offset so that markers of different runs do not coincide.
        "markevery": (0.01 * index, 0.1) if len(curve[0]) > FEW else None,
        "zorder": 2,
    }


def _curve(records: Sequence[Record], name: str) -> Curve:
    points = np.array([(record.step, getattr(record, name)) for record in records], np.float64).reshape(-1, 2)
    steps, values = points[np.isfinite(points[:, 1])].T
    return steps, values


def _smoothed(curve: Curve, window: float) -> NDArray[np.float64]:
    """Moving average of a curve over `window` steps."""
    steps, values = curve
    first = np.searchsorted(steps, steps - window / 2, "left")
    last = np.searchsorted(steps, steps + window / 2, "right")
    return np.array([values[start:end].mean() for start, end in zip(first, last, strict=True)])
